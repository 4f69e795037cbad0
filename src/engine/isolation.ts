/** A sequence's proof that it can be computed: how many tokens it must have produced. */
interface Suspect {
  readonly sequenceId: string;
  readonly provenAtNumTokens: number;
}

/** Tokens past the point of the crash that clear a suspect: the one in flight, and one more. */
const PROOF_TOKENS = 2;

/**
 * After an engine died of its own fault, the sequences it was running come back one at a time, each proving itself
 * before the next is let in. If the engine dies again meanwhile, the one on trial is the culprit; its neighbours of
 * the first crash lose nothing but time.
 */
export class Isolation {
  readonly #suspects: Suspect[] = [];

  get isActive(): boolean {
    return this.#suspects.length > 0;
  }

  /** The sequence on trial. */
  get current(): string | null {
    return this.#suspects[0]?.sequenceId ?? null;
  }

  /** Puts a sequence on the list with the number of tokens it had when the engine died. */
  suspect(sequenceId: string, numTokens: number): void {
    this.#suspects.push({ sequenceId, provenAtNumTokens: numTokens + PROOF_TOKENS });
  }

  /** Removes a sequence that ended or was aborted. Returns true when the one on trial changed. */
  clear(sequenceId: string): boolean {
    const index = this.#suspects.findIndex((suspect) => suspect.sequenceId === sequenceId);
    if (index === -1) return false;
    this.#suspects.splice(index, 1);
    return index === 0;
  }

  /** Notes progress of a sequence. Returns true when it is cleared and the next may be let in. */
  noteTokens(sequenceId: string, numTokens: number): boolean {
    const [current] = this.#suspects;
    if (current?.sequenceId !== sequenceId || numTokens < current.provenAtNumTokens) return false;
    this.#suspects.shift();
    return true;
  }

  reset(): void {
    this.#suspects.length = 0;
  }
}
