import type { Pointer } from "./abi.ts";
import type { HostBuffer, HostBuffers } from "./host-buffers.ts";

/** KV state of some positions, in the library's own format and outside the JavaScript heap, so that freeing it is immediate. */
export class HostCopy {
  readonly sizeBytes: number;
  readonly #buffers: HostBuffers;
  readonly #buffer: HostBuffer;
  #numHolders = 1;

  constructor(buffers: HostBuffers, sizeBytes: number) {
    this.#buffers = buffers;
    this.#buffer = buffers.take(sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  get address(): Pointer {
    return this.#buffer.address;
  }

  /** A view of the bytes, valid until the last holder has freed the copy. */
  get bytes(): Uint8Array {
    return this.#buffer.view(this.sizeBytes);
  }

  /** One more holder, who calls free() too. */
  hold(): this {
    this.#numHolders += 1;
    return this;
  }

  free(): void {
    this.#numHolders -= 1;
    if (this.#numHolders === 0) this.#buffers.giveBack(this.#buffer);
  }
}
