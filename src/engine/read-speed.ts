/** Until files have been read: a common SSD. */
const INITIAL_BYTES_PER_MS = 300_000;
/** Weight of each further read. */
const SPEED_WEIGHT = 0.2;
/** Each read that is not worth it makes the next one seem so much faster, lest one bad hour of the disk be the last. */
const OPTIMISM = 1.05;

/** How fast the disk reads, as learned from reading. */
export class ReadSpeed {
  #bytesPerMs = INITIAL_BYTES_PER_MS;

  predictMs(sizeBytes: number): number {
    return sizeBytes / this.#bytesPerMs;
  }

  note(sizeBytes: number, durationMs: number): void {
    this.#bytesPerMs += SPEED_WEIGHT * (sizeBytes / Math.max(1, durationMs) - this.#bytesPerMs);
  }

  noteUntried(): void {
    this.#bytesPerMs *= OPTIMISM;
  }
}
