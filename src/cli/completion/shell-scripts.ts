/**
 * The scripts by which shells complete `fullconv`. A script hands the words on to `fullconv complete` and shows the
 * answer: one candidate a line, its meaning behind a tab. A last line `:files` or `:folders` leaves the rest to the
 * shell. The script calls the program whose path is being typed, wherever it lies.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export const SHELL_SCRIPTS: Readonly<Record<Shell, string>> = {
  // bash splits words at "=", so only the part of a candidate behind it is offered.
  bash: `# fullconv in bash: eval "$(fullconv completion bash)"
_fullconv() {
  local line word current=\${COMP_WORDS[COMP_CWORD]}
  [[ $current == '=' ]] && current=''
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files) compopt -o filenames 2> /dev/null
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current") ;;
      :folders) compopt -o filenames 2> /dev/null
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$current") ;;
      *) word=\${line%%$'\\t'*}
        [[ $word == --*=* ]] && word=\${word#*=}
        COMPREPLY+=("$word") ;;
    esac
  done < <("\${COMP_WORDS[0]/#\\~/$HOME}" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
}
complete -F _fullconv fullconv
`,
  zsh: `#compdef fullconv
# fullconv in zsh: source <(fullconv completion zsh), after compinit; or as a file _fullconv on the fpath.
_fullconv() {
  local line
  local -a found
  for line in "\${(@f)$("\${(Q)words[1]/#\\~/$HOME}" complete -- "\${(@Q)words[2,CURRENT]}" 2> /dev/null)}"; do
    case $line in
      :files) _files ;;
      :folders) _files -/ ;;
      ?*) found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( $#found )) && _describe -V fullconv found
}
if [[ $funcstack[1] == _fullconv ]]; then _fullconv "$@"; else compdef _fullconv fullconv; fi
`,
  fish: `# fullconv in fish: fullconv completion fish | source
function __fullconv_complete
  set -l tokens (commandline -opc)
  for line in ($tokens[1] complete -- $tokens[2..-1] (commandline -ct) 2> /dev/null)
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':folders'
        __fish_complete_directories (commandline -ct)
      case '*'
        echo $line
    end
  end
end
complete -c fullconv -f -k -a '(__fullconv_complete)'
`,
};
