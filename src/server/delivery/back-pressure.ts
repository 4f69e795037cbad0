import type { StreamBufferLimits } from "../dependencies.ts";
import type { FlowControl } from "./event-channel.ts";

/**
 * Keeps a slow reader from costing memory or batch rows: its generation pauses while the buffer is above the soft
 * limit, and is cut at the hard limit or when the pause lasts too long.
 */
export class BackPressure {
  readonly #limits: StreamBufferLimits;
  readonly #flow: FlowControl;
  #pauseTimer: NodeJS.Timeout | null = null;

  constructor(limits: StreamBufferLimits, flow: FlowControl) {
    this.#limits = limits;
    this.#flow = flow;
  }

  /**
   * To be called before each write, with what earlier ones have left in the buffer: a large answer alone says nothing
   * about its reader.
   */
  noteBuffered(numBytes: number): void {
    if (numBytes > this.#limits.hardBytes) {
      this.#cut();
    } else if (numBytes > this.#limits.softBytes && this.#pauseTimer === null) {
      this.#pauseTimer = setTimeout(() => this.#cut(), this.#limits.maxPausedMs);
      this.#flow.pause();
    }
  }

  /** The reader has caught up, or is gone. Every pause is followed by one resume. */
  release(): void {
    if (this.#pauseTimer === null) return;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = null;
    this.#flow.resume();
  }

  #cut(): void {
    this.#flow.cut();
    this.release();
  }
}
