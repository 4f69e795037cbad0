import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { HostTier } from "../../kvcache/host-tier.ts";
import type { HostSegment, PrefixKey } from "../../kvcache/prefix-cache.ts";
import { decodePrefixFile, encodePrefixFile, type PrefixFile } from "./prefix-file.ts";

/** Bytes outside the JavaScript heap, valid until they are freed. */
export interface HeldCopy {
  readonly bytes: Uint8Array;
  free(): void;
}

/** Where the bytes of host slots are. */
export interface HostCopies {
  /** Null for a slot that is not filled yet. */
  holdHostCopy(slot: number): HeldCopy | null;
  createHostCopy(sizeBytes: number): HeldCopy;
  fillHostSlot(slot: number, copy: HeldCopy): void;
}

export interface DiskTierOptions {
  readonly folder: string;
  readonly maxBytes: number;
  /** What the bytes depend on; files of another identity are not read. */
  readonly identity: string;
  readonly host: HostTier;
  readonly copies: HostCopies;
  readonly blockSize: number;
  /** Monotonic milliseconds, those of the pins. */
  readonly now: () => number;
}

const SUFFIX = ".kv";

/** A pin that ends sooner is not worth a file. */
const MIN_REMAINING_MS = 10 * 60_000;

interface KnownFile {
  readonly sizeBytes: number;
  readonly expiresAtMs: number;
}

/** A pinned segment, its file's name, and the Unix time at which its pin ends. */
interface Entry {
  readonly segment: HostSegment;
  readonly name: string;
  readonly expiresAtMs: number;
}

interface FilledEntry extends Entry {
  readonly bytes: Uint8Array;
}

/**
 * Pinned prefixes as files, so that the next start has them at once. A file appears whole or not at all (written under
 * another name, then renamed), and goes when its pin does. Failures of the disk cost no more than the file.
 */
export class DiskTier {
  readonly #options: DiskTierOptions;
  /** By name, those of this folder. */
  readonly #files = new Map<string, KnownFile>();
  readonly #names = new WeakMap<HostSegment, string>();
  #isWriting = false;

  constructor(options: DiskTierOptions) {
    this.#options = options;
  }

  /** Puts what earlier runs kept into host memory. Returns how many tokens there are. */
  load(): number {
    const { host, copies, blockSize, now } = this.#options;
    let numTokens = 0;
    for (const { name, file, sizeBytes } of this.#readFolder()) {
      const { expiresAtMs, startBlock, tokens, bytes } = file;
      const slot = host.adopt(file, startBlock, now() + expiresAtMs - Date.now());
      if (slot === null) continue;
      const copy = copies.createHostCopy(bytes.length);
      copy.bytes.set(bytes);
      copies.fillHostSlot(slot, copy);
      this.#files.set(name, { sizeBytes, expiresAtMs });
      numTokens += tokens.length - startBlock * blockSize;
    }
    return numTokens;
  }

  /** Brings the folder up to date in the background. Harmless while it is still at it. */
  async sync(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      for (let next = this.#nextOutdated(); next !== null; next = this.#nextOutdated()) {
        const { target, temporary, data } = this.#prepare(next);
        await writeFile(temporary, data, { mode: 0o600 });
        await rename(temporary, target);
        this.#files.set(next.name, { sizeBytes: data.length, expiresAtMs: next.expiresAtMs });
      }
    } catch {
      // A read-only or full disk: tried again with the next call.
    } finally {
      this.#isWriting = false;
    }
  }

  /** The same at once, before the process ends. */
  flush(): void {
    try {
      for (let next = this.#nextOutdated(); next !== null; next = this.#nextOutdated()) {
        const { target, temporary, data } = this.#prepare(next);
        writeFileSync(temporary, data, { mode: 0o600 });
        renameSync(temporary, target);
        this.#files.set(next.name, { sizeBytes: data.length, expiresAtMs: next.expiresAtMs });
      }
    } catch {
      // A read-only or full disk.
    }
  }

  /** A pinned segment whose file is missing or ends much too early, if it fits. Removes files that nobody pins. */
  #nextOutdated(): FilledEntry | null {
    const entries = [...this.#pinned()];
    const names = new Set(entries.map(({ name }) => name));
    for (const name of this.#files.keys()) if (!names.has(name)) this.#remove(name);
    for (const entry of entries) {
      const bytes = this.#isOutdated(entry) ? this.#bytesOf(entry.segment) : null;
      if (bytes !== null && this.#fits(entry.name, bytes.length)) return { ...entry, bytes };
    }
    return null;
  }

  *#pinned(): Iterable<Entry> {
    const { host, now } = this.#options;
    const [nowMs, unixMs] = [now(), Date.now()];
    for (const segment of host.pinned(nowMs)) {
      const expiresAtMs = Math.round(unixMs + segment.nodes[0]!.pinnedUntilMs - nowMs);
      yield { segment, name: this.#nameOf(segment), expiresAtMs };
    }
  }

  /** Pins that are prolonged by every use are written again only when half of their time is over. */
  #isOutdated({ name, expiresAtMs }: Entry): boolean {
    const remainingMs = expiresAtMs - Date.now();
    const known = this.#files.get(name);
    if (known === undefined) return remainingMs >= MIN_REMAINING_MS;
    return known.expiresAtMs < expiresAtMs - remainingMs / 2;
  }

  /** Null where the copy has not been made yet. The bytes are used before anything else can free them. */
  #bytesOf({ slot }: HostSegment): Uint8Array | null {
    const copy = this.#options.copies.holdHostCopy(slot);
    copy?.free();
    return copy?.bytes ?? null;
  }

  #fits(name: string, sizeBytes: number): boolean {
    let numBytes = sizeBytes;
    for (const [other, { sizeBytes }] of this.#files) if (other !== name) numBytes += sizeBytes;
    return numBytes <= this.#options.maxBytes;
  }

  #prepare({ segment, name, expiresAtMs, bytes }: FilledEntry) {
    const { folder, identity } = this.#options;
    const { startBlock } = segment;
    const data = encodePrefixFile({ identity, ...keyOf(segment), startBlock, expiresAtMs, bytes });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const target = path.join(folder, name);
    return { target, temporary: `${target}.${process.pid}.tmp`, data };
  }

  /** Whole files of this identity whose time is not over, starts of prefixes first; all others are removed. */
  #readFolder(): { readonly name: string; readonly file: PrefixFile; readonly sizeBytes: number }[] {
    const { folder } = this.#options;
    const found = listFiles(folder).flatMap((name) => {
      const data = name.endsWith(SUFFIX) ? readFile(path.join(folder, name)) : null;
      const file = data === null ? null : decodePrefixFile(data, this.#options.identity);
      if (data !== null && file !== null && file.expiresAtMs > Date.now()) {
        return [{ name, file, sizeBytes: data.length }];
      }
      removeFile(path.join(folder, name));
      return [];
    });
    return found.sort((left, right) => left.file.startBlock - right.file.startBlock);
  }

  #nameOf(segment: HostSegment): string {
    const known = this.#names.get(segment);
    if (known !== undefined) return known;
    const content = JSON.stringify([keyOf(segment), segment.startBlock]);
    const name = createHash("sha256").update(content).digest("hex").slice(0, 32) + SUFFIX;
    this.#names.set(segment, name);
    return name;
  }

  #remove(name: string): void {
    this.#files.delete(name);
    removeFile(path.join(this.#options.folder, name));
  }
}

/** All tokens up to the end of a segment, in the order of positions. */
function keyOf({ nodes }: HostSegment): PrefixKey {
  const blocks: (readonly number[])[] = [];
  const last = nodes.at(-1)!;
  for (let node = last; node.parent !== null; node = node.parent) blocks.push(node.tokens);
  return { tokens: blocks.toReversed().flat(), cacheSalt: last.cacheSalt };
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What cannot be removed, such as a folder or a file of a read-only disk, stays and is passed over. */
function removeFile(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // Its room is lost, nothing else.
  }
}

function readFile(file: string): Uint8Array | null {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}
