import koffi from "koffi";
import type { Pointer } from "./abi.ts";

/** Sizes are rounded up to one of so many steps between powers of two: an eighth is lost at most, and buffers fit again. */
const STEPS_PER_DOUBLING = 8;

/** Memory of the system's, outside the JavaScript heap. */
export interface HostBuffer {
  readonly address: Pointer;
  readonly sizeBytes: number;
  view(sizeBytes: number): Uint8Array;
}

/**
 * Buffers for copies of KV state, used again instead of returned to the system: the first touch of fresh memory costs
 * several times what copying into it does. All together, idle ones included, never take more than were once in use.
 */
export class HostBuffers {
  /** By size, the longest unused size first. */
  readonly #idle = new Map<number, HostBuffer[]>();
  #usedBytes = 0;
  #idleBytes = 0;
  #peakBytes = 0;

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  take(minBytes: number): HostBuffer {
    const sizeBytes = sizeClass(minBytes);
    const buffer = this.#takeIdle(sizeBytes) ?? allocate(sizeBytes);
    this.#usedBytes += sizeBytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.#usedBytes);
    this.#shrinkTo(this.#peakBytes - this.#usedBytes);
    return buffer;
  }

  giveBack(buffer: HostBuffer): void {
    const { sizeBytes } = buffer;
    this.#usedBytes -= sizeBytes;
    this.#idleBytes += sizeBytes;
    const idle = this.#idle.get(sizeBytes) ?? [];
    idle.push(buffer);
    this.#idle.delete(sizeBytes);
    this.#idle.set(sizeBytes, idle);
  }

  /** Frees the idle ones. */
  close(): void {
    this.#shrinkTo(0);
  }

  #takeIdle(sizeBytes: number): HostBuffer | undefined {
    const idle = this.#idle.get(sizeBytes);
    const buffer = idle?.pop();
    if (buffer === undefined) return undefined;
    if (idle!.length === 0) this.#idle.delete(sizeBytes);
    this.#idleBytes -= sizeBytes;
    return buffer;
  }

  #shrinkTo(maxIdleBytes: number): void {
    while (this.#idleBytes > maxIdleBytes) {
      const [sizeBytes] = this.#idle.keys();
      koffi.free(this.#takeIdle(sizeBytes!)!.address);
    }
  }
}

export function sizeClass(sizeBytes: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, sizeBytes)))) / STEPS_PER_DOUBLING;
  return Math.ceil(Math.ceil(sizeBytes / step) * step);
}

function allocate(sizeBytes: number): HostBuffer {
  const address = koffi.alloc("uint8_t", sizeBytes) as Pointer;
  return { address, sizeBytes, view: (numBytes) => new Uint8Array(koffi.view(address, numBytes)) };
}
