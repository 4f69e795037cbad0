/** Tokens that are the same wherever the same id appears, and differ from those of every other id. */
export interface TokenSegment {
  /** A small non-negative integer. */
  readonly id: number;
  readonly numTokens: number;
}

/** One request of a workload: lengths and what it shares, no tokens yet. */
export interface SimRequest {
  readonly index: number;
  readonly atMs: number;
  readonly segments: readonly TokenSegment[];
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  readonly tenant: string;
  /** Class in reports, such as "intruder". */
  readonly label: string;
}

/**
 * The prompt as token ids. A segment repeats one id: prefixes are compared by position, so equal segments at equal
 * places are shared and nothing else is. Made when the request arrives, so that a long trace needs no memory.
 */
export function promptTokens(segments: readonly TokenSegment[]): number[] {
  const tokens: number[] = [];
  for (const { id, numTokens } of segments) {
    for (let count = 0; count < numTokens; count += 1) tokens.push(id);
  }
  return tokens;
}

/** The id that a request's output repeats: negative, so that it is no prompt's. */
export function outputToken({ index }: SimRequest): number {
  return -1 - index;
}
