import koffi from "koffi";
import type { Pointer } from "./abi.ts";

/** KV state of some positions, in the library's own format and outside the JavaScript heap, so that freeing it is immediate. */
export class HostCopy {
  readonly address: Pointer;
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.address = koffi.alloc("uint8_t", sizeBytes) as Pointer;
  }

  static from(bytes: Uint8Array): HostCopy {
    const copy = new HostCopy(bytes.length);
    copy.bytes.set(bytes);
    return copy;
  }

  /** A view of the bytes, valid until free(). */
  get bytes(): Uint8Array {
    return new Uint8Array(koffi.view(this.address, this.sizeBytes));
  }

  free(): void {
    koffi.free(this.address);
  }
}
