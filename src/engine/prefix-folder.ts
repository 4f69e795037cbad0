import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { rm, utimes } from "node:fs/promises";
import path from "node:path";
import type { HostSegment, PrefixKey } from "../../kvcache/prefix-cache.ts";
import { pathTo } from "../../kvcache/segment-store.ts";
import {
  decodePrefixFile,
  readPayload,
  readPrefixFacts,
  sizeOfPrefixFile,
  writePrefixFile,
  writePrefixFileNow,
  type PrefixFileFacts,
  type PrefixFrame,
  type PrefixHeader,
} from "./prefix-file.ts";

const SUFFIX = ".kv";

/** A file that was there at start. */
export interface FoundFile {
  readonly name: string;
  readonly facts: PrefixFileFacts;
}

/** The files of segments in one folder, and how much they take. */
export class PrefixFolder {
  readonly #folder: string;
  /** What the bytes depend on; files of another identity are not read. */
  readonly #identity: string;
  readonly #files = new Map<HostSegment, FoundFile>();
  #totalBytes = 0;

  constructor(folder: string, identity: string) {
    this.#folder = folder;
    this.#identity = identity;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  get segments(): Iterable<HostSegment> {
    return this.#files.keys();
  }

  factsOf(segment: HostSegment): PrefixFileFacts | undefined {
    return this.#files.get(segment)?.facts;
  }

  /** What the file of a segment would take. */
  sizeOf(segment: HostSegment, payloadBytes: number, expiresAtMs: number): number {
    return sizeOfPrefixFile(this.#headerOf(segment, expiresAtMs), payloadBytes);
  }

  /** What earlier runs left of use, starts of prefixes first. All else is removed. */
  find(): FoundFile[] {
    const found: FoundFile[] = [];
    for (const name of listFiles(this.#folder)) {
      const facts = name.endsWith(SUFFIX) ? readFacts(path.join(this.#folder, name)) : null;
      if (facts !== null && this.#isOurs(name, facts.header)) found.push({ name, facts });
      else this.discard(name);
    }
    return found.toSorted((left, right) => left.facts.header.startBlock - right.facts.header.startBlock);
  }

  /** All bytes of such a file at once; null when it is not whole. */
  readNow(name: string): Uint8Array | null {
    try {
      return decodePrefixFile(readFileSync(path.join(this.#folder, name)), this.#identity)?.bytes ?? null;
    } catch {
      return null;
    }
  }

  /** Removes what belongs to no segment. */
  discard(name: string): void {
    try {
      rmSync(path.join(this.#folder, name), { force: true });
    } catch {
      // A folder, or a file of a read-only disk: its room is lost, nothing else.
    }
  }

  /** A file is that of a segment. */
  enter(segment: HostSegment, file: FoundFile): void {
    this.#forget(segment);
    this.#files.set(segment, file);
    this.#totalBytes += file.facts.sizeBytes;
  }

  async write(segment: HostSegment, bytes: Uint8Array, expiresAtMs: number): Promise<void> {
    const header = this.#headerOf(segment, expiresAtMs);
    const name = nameOf(header);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const facts = await writePrefixFile(path.join(this.#folder, name), { ...header, bytes });
    this.enter(segment, { name, facts });
  }

  writeNow(segment: HostSegment, bytes: Uint8Array, expiresAtMs: number): void {
    const header = this.#headerOf(segment, expiresAtMs);
    const name = nameOf(header);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const facts = writePrefixFileNow(path.join(this.#folder, name), { ...header, bytes });
    this.enter(segment, { name, facts });
  }

  /** Reads a segment's bytes, which are only good if they are intact; null when they cannot be. */
  async read(segment: HostSegment, bytes: Uint8Array): Promise<PrefixFrame | null> {
    const known = this.#files.get(segment);
    if (known === undefined) return null;
    const file = path.join(this.#folder, known.name);
    const frame = await readPayload(file, known.facts, bytes);
    // The order of use survives a restart. Where it cannot be noted, the next run knows the order of writing.
    const now = new Date();
    await utimes(file, now, now).catch(() => {});
    return frame;
  }

  async remove(segment: HostSegment): Promise<void> {
    const name = this.#forget(segment);
    if (name !== null) await rm(path.join(this.#folder, name), { force: true }).catch(() => {});
  }

  removeNow(segment: HostSegment): void {
    const name = this.#forget(segment);
    if (name !== null) this.discard(name);
  }

  #forget(segment: HostSegment): string | null {
    const known = this.#files.get(segment);
    if (known === undefined) return null;
    this.#files.delete(segment);
    this.#totalBytes -= known.facts.sizeBytes;
    return known.name;
  }

  #headerOf(segment: HostSegment, expiresAtMs: number): PrefixHeader {
    const { startBlock } = segment;
    return { identity: this.#identity, ...keyOf(segment), startBlock, expiresAtMs };
  }

  /** The name says what is inside, so a header that was changed is found out before it leads anybody. */
  #isOurs(name: string, header: PrefixHeader): boolean {
    const isAlive = header.expiresAtMs === 0 || header.expiresAtMs > Date.now();
    return header.identity === this.#identity && isAlive && name === nameOf(header);
  }
}

function nameOf({ tokens, cacheSalt, startBlock }: PrefixHeader): string {
  const content = JSON.stringify([tokens, cacheSalt, startBlock]);
  return createHash("sha256").update(content).digest("hex").slice(0, 32) + SUFFIX;
}

/** All tokens up to the end of a segment, in the order of positions. */
function keyOf(segment: HostSegment): PrefixKey {
  const tokens = pathTo(segment).flatMap((node) => node.tokens);
  return { tokens, cacheSalt: segment.nodes[0]!.cacheSalt };
}

function readFacts(file: string): PrefixFileFacts | null {
  try {
    return readPrefixFacts(file);
  } catch {
    return null;
  }
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
