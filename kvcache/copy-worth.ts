/** A copied token takes about a hundredth of the time of a computed one, often less, and now and then a few times as much. */
const MIN_USED_PART = 1 / 32;

/** Copies of whole sequences are large: one is made only where enough of it is of use. */
export function isWorthCopying(numUsed: number, numCopied: number): boolean {
  return numUsed >= numCopied * MIN_USED_PART;
}
