/**
 * Which tokens a sequence has seen, and how often it generated each: what penalties need.
 * Kept up to date token by token; built again from the tokens themselves after a preemption or a restart.
 */
export class TokenCounts {
  readonly #numGenerated = new Map<number, number>();
  #numCounted = 0;

  /** Counts what was added to `tokens` since the last call. */
  update(tokens: readonly number[], numPromptTokens: number): void {
    for (let position = this.#numCounted; position < tokens.length; position += 1) {
      const token = tokens[position]!;
      const count = this.#numGenerated.get(token) ?? 0;
      this.#numGenerated.set(token, position < numPromptTokens ? count : count + 1);
    }
    this.#numCounted = tokens.length;
  }

  /** Tokens of prompt and output with the number of times each was generated. */
  entries(): Iterable<readonly [tokenId: number, numGenerated: number]> {
    return this.#numGenerated;
  }
}
