import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";

/** How much of a file an earlier run left, whole or in part. */
export async function numBytesPresent(target: string): Promise<number> {
  const sizes = await Promise.all([target, partialPath(target)].map(sizeOf));
  return Math.max(...sizes);
}

/** SHA-256 in hexadecimal of a file that is there; null where there is none. */
export async function hashOf(path: string, signal: AbortSignal): Promise<string | null> {
  if ((await sizeOf(path)) === 0) return null;
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest("hex");
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function partialPath(target: string): string {
  return `${target}.partial`;
}

/**
 * A download on its way: `<target>.partial` beside a note of the entity tag that its bytes belong to,
 * so that this process or a later one can go on with it.
 */
export class PartialFile {
  readonly path: string;
  readonly #target: string;
  readonly #notePath: string;
  #handle: FileHandle | null = null;
  #hash: Hash = createHash("sha256");
  #sizeBytes = 0;
  #entityTag = "";

  constructor(target: string) {
    this.#target = target;
    this.path = partialPath(target);
    this.#notePath = `${this.path}.etag`;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Strong tag of the file that the bytes came from; empty where the server gave none. */
  get entityTag(): string {
    return this.#entityTag;
  }

  /** Takes over what an earlier process left; bytes without a note of their origin are dropped. */
  async load(signal: AbortSignal): Promise<void> {
    const note = await readFile(this.#notePath, "utf8").catch(() => null);
    if (note === null) return this.discard();
    this.#entityTag = note;
    this.#sizeBytes = await sizeOf(this.path);
    if (this.#sizeBytes > 0) await pipeline(createReadStream(this.path), this.#hash, { end: false, signal });
  }

  /** Starts anew with bytes that `entityTag` stands for. */
  async begin(entityTag: string): Promise<void> {
    await this.discard();
    await writeFile(this.#notePath, entityTag);
    this.#entityTag = entityTag;
    this.#handle = await open(this.path, "a");
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#handle ??= await open(this.path, "a");
    await this.#handle.appendFile(chunk);
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.length;
  }

  /** SHA-256 in hexadecimal of all bytes so far. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  async firstBytes(count: number): Promise<Buffer> {
    const handle = await open(this.path, "r");
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(count), 0, count, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  /** Lets the file appear under its name at once and whole, also after a power failure. */
  async commit(): Promise<void> {
    await this.#handle?.sync();
    await this.close();
    await rename(this.path, this.#target);
    await rm(this.#notePath, { force: true });
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
    await rm(this.#notePath, { force: true });
    this.#hash = createHash("sha256");
    this.#sizeBytes = 0;
    this.#entityTag = "";
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }
}
