import { readSync } from "node:fs";

import { GgufError } from "./gguf-error.ts";

const WINDOW_BYTES = 64 * 1024;

/**
 * Reads little-endian values from an open file through one small window, so that a header of any
 * size costs 64 KiB of memory. Every read is checked against the bytes that the file still has.
 */
export class ByteReader {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #windowStart = 0;
  #windowLength = 0;
  #position = 0;

  constructor(fd: number, sizeBytes: number) {
    this.#fd = fd;
    this.sizeBytes = sizeBytes;
  }

  get position(): number {
    return this.#position;
  }

  get remainingBytes(): number {
    return this.sizeBytes - this.#position;
  }

  /** Throws unless `numBytes` more bytes exist; `what` names them in the refusal. */
  require(numBytes: number, what: string): void {
    if (numBytes <= this.remainingBytes) return;
    throw new GgufError(
      "truncated",
      `the file ends inside ${what}: ${numBytes} bytes are needed at offset ${this.#position}, ${this.remainingBytes} are left`,
    );
  }

  u8(what: string): number {
    return this.#take(1, what, (at) => this.#window.readUInt8(at));
  }

  i8(what: string): number {
    return this.#take(1, what, (at) => this.#window.readInt8(at));
  }

  u16(what: string): number {
    return this.#take(2, what, (at) => this.#window.readUInt16LE(at));
  }

  i16(what: string): number {
    return this.#take(2, what, (at) => this.#window.readInt16LE(at));
  }

  u32(what: string): number {
    return this.#take(4, what, (at) => this.#window.readUInt32LE(at));
  }

  i32(what: string): number {
    return this.#take(4, what, (at) => this.#window.readInt32LE(at));
  }

  f32(what: string): number {
    return this.#take(4, what, (at) => this.#window.readFloatLE(at));
  }

  f64(what: string): number {
    return this.#take(8, what, (at) => this.#window.readDoubleLE(at));
  }

  /** Inexact above 2^53, where every caller's limit has long been passed. */
  u64(what: string): number {
    return this.#take(
      8,
      what,
      (at) => this.#window.readUInt32LE(at + 4) * 2 ** 32 + this.#window.readUInt32LE(at),
    );
  }

  i64(what: string): number {
    return this.#take(8, what, (at) => Number(this.#window.readBigInt64LE(at)));
  }

  /** Text of a length that the caller has limited. */
  text(numBytes: number, what: string, encoding: "utf8" | "latin1" = "utf8"): string {
    this.require(numBytes, what);
    if (numBytes > WINDOW_BYTES) return this.#longBytes(numBytes, what).toString(encoding);
    this.#fill(numBytes, what);
    const at = this.#position - this.#windowStart;
    this.#position += numBytes;
    return this.#window.toString(encoding, at, at + numBytes);
  }

  #longBytes(numBytes: number, what: string): Buffer {
    const bytes = Buffer.allocUnsafe(numBytes);
    for (let filled = 0; filled < numBytes;) {
      const step = Math.min(numBytes - filled, WINDOW_BYTES);
      this.#fill(step, what);
      const at = this.#position - this.#windowStart;
      this.#window.copy(bytes, filled, at, at + step);
      filled += step;
      this.#position += step;
    }
    return bytes;
  }

  skip(numBytes: number, what: string): void {
    this.require(numBytes, what);
    this.#position += numBytes;
  }

  #take(numBytes: number, what: string, read: (at: number) => number): number {
    this.require(numBytes, what);
    this.#fill(numBytes, what);
    const value = read(this.#position - this.#windowStart);
    this.#position += numBytes;
    return value;
  }

  /** Makes at least `numBytes` (at most one window) from the position on available. */
  #fill(numBytes: number, what: string): void {
    const end = this.#windowStart + this.#windowLength;
    if (this.#position >= this.#windowStart && this.#position + numBytes <= end) return;
    this.#windowStart = this.#position;
    this.#windowLength = 0;
    while (this.#windowLength < numBytes) {
      const room = WINDOW_BYTES - this.#windowLength;
      const count = readSync(
        this.#fd,
        this.#window,
        this.#windowLength,
        room,
        this.#position + this.#windowLength,
      );
      if (count === 0) throw new GgufError("truncated", `the file became shorter while ${what} was read`);
      this.#windowLength += count;
    }
  }
}
