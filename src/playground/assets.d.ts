/** Files that the build puts beside the page. An import gives the file's address, relative to the page. */
declare module '*.jpg' {
  const url: string;
  export default url;
}
