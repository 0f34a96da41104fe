/** Errors in words for people: the server's own if it refused, and the page's if it does not answer at all. Where a key is lacking, it is asked for. */
import { ProblemError, UnreachableError } from '../client/index.js';
import { element, make } from './elements.js';
import { askForKey, visitorsKey } from './key.js';

export function hideProblem(): void {
  element('problem', HTMLParagraphElement).hidden = true;
}

/** Say what went wrong, and offer to try again if that may help. */
export function showProblem(error: unknown, retry: () => void): void {
  if (isAboutKey(error)) {
    askForKey(visitorsKey() === undefined ? 'This server asks for a key.' : error.message, retry);
    return;
  }
  const problem = element('problem', HTMLParagraphElement);
  const again = make('button', { type: 'button' }, 'Try again');
  again.addEventListener('click', () => {
    hideProblem();
    retry();
  });
  problem.replaceChildren(sentenceOf(error), ' ', ...(isWorthRetrying(error) ? [again] : []));
  problem.hidden = false;
}

function sentenceOf(error: unknown): string {
  if (error instanceof ProblemError) return error.message;
  if (error instanceof UnreachableError) return 'The server does not answer. Is it still running?';
  console.error(error);
  return 'Something went wrong in this page; the browser’s console has the details.';
}

/** Whether another key may help: there is none, or the visitor's is not good enough. */
function isAboutKey(error: unknown): error is ProblemError {
  if (!(error instanceof ProblemError)) return false;
  const { code } = error.problem;
  return code === 'UNAUTHENTICATED' || (code === 'FORBIDDEN' && visitorsKey() !== undefined);
}

/** Whether the server refuses this question, but may well answer others about the same picture and model. */
export function isAboutQuestion(error: unknown): boolean {
  return error instanceof ProblemError && [400, 422].includes(error.problem.status);
}

/** Whether the same question may be answered a little later. */
function isWorthRetrying(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ProblemError && (error.problem.status >= 500 || error.problem.status === 429);
}
