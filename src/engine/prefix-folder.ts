import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import type { HostSegment, PrefixKey } from "../../kvcache/prefix-cache.ts";
import { pathTo } from "../../kvcache/segment-store.ts";
import { expiryOf, type PinTimes } from "./pin-times.ts";
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

/** No write goes on for so long without a byte: its process has died. */
const MAX_WRITE_MS = 3_600_000;

/** A file that was there at start. */
export interface FoundFile {
  readonly name: string;
  readonly facts: PrefixFileFacts;
}

/**
 * The files of segments in one folder, and how much they take. Other servers may use the folder too: a file that one of
 * them has written or read since it was known here is theirs to remove, and what they have pinned stays pinned.
 */
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
  sizeOf(segment: HostSegment, payloadBytes: number, pins: PinTimes): number {
    return sizeOfPrefixFile(this.#headerOf(segment, pins), payloadBytes);
  }

  /**
   * What earlier runs and other servers left of use, starts of prefixes first. What is broken, or over, is removed; what
   * another server may be writing only when nobody can be at it any more.
   */
  find(): FoundFile[] {
    const found: FoundFile[] = [];
    for (const name of listFiles(this.#folder)) {
      const isFile = name.endsWith(SUFFIX);
      const facts = isFile ? readFacts(this.#pathOf(name)) : null;
      if (facts !== null && this.#isOurs(name, facts.header)) found.push({ name, facts });
      else if (isFile || this.#isAbandoned(name)) this.#discard(name);
    }
    return found.toSorted((left, right) => left.facts.header.startBlock - right.facts.header.startBlock);
  }

  /** All bytes of such a file at once; null when it is not whole. */
  readNow(name: string): Uint8Array | null {
    try {
      return decodePrefixFile(readFileSync(this.#pathOf(name)), this.#identity)?.bytes ?? null;
    } catch {
      return null;
    }
  }

  /** A file is that of a segment. */
  enter(segment: HostSegment, file: FoundFile): void {
    this.#forget(segment);
    this.#files.set(segment, file);
    this.#totalBytes += file.facts.sizeBytes;
  }

  /** Pins in a segment's file that this process has not heard of. */
  pinsOfOthers(segment: HostSegment): PinTimes {
    const name = nameOf(this.#headerOf(segment, {}));
    const facts = readFacts(this.#pathOf(name));
    const isKnown = facts?.modifiedAtMs === this.factsOf(segment)?.modifiedAtMs;
    return facts === null || isKnown || !this.#isOurs(name, facts.header) ? {} : facts.header.pins;
  }

  async write(segment: HostSegment, bytes: Uint8Array, pins: PinTimes): Promise<void> {
    const header = this.#headerOf(segment, pins);
    const name = nameOf(header);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const facts = await writePrefixFile(this.#pathOf(name), { ...header, bytes });
    this.enter(segment, { name, facts });
  }

  writeNow(segment: HostSegment, bytes: Uint8Array, pins: PinTimes): void {
    const header = this.#headerOf(segment, pins);
    const name = nameOf(header);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const facts = writePrefixFileNow(this.#pathOf(name), { ...header, bytes });
    this.enter(segment, { name, facts });
  }

  /** Reads a segment's bytes, which are only good if they are intact; null when they cannot be. */
  async read(segment: HostSegment, bytes: Uint8Array): Promise<PrefixFrame | null> {
    const known = this.#files.get(segment);
    return known === undefined ? null : readPayload(this.#pathOf(known.name), known.facts, bytes);
  }

  /** A file has been of use. Where that cannot be noted, the next run knows the order of writing. */
  async touch(segment: HostSegment): Promise<void> {
    const known = this.#files.get(segment);
    if (known === undefined) return;
    const file = this.#pathOf(known.name);
    const now = new Date();
    try {
      await utimes(file, now, now);
      const { mtimeMs } = await stat(file);
      if (this.#files.get(segment) === known) {
        this.enter(segment, { ...known, facts: { ...known.facts, modifiedAtMs: mtimeMs } });
      }
    } catch {
      // Gone, or on a read-only disk.
    }
  }

  async remove(segment: HostSegment): Promise<void> {
    const known = this.#forget(segment);
    if (known === undefined) return;
    const file = this.#pathOf(known.name);
    const modifiedAtMs = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (modifiedAtMs === known.facts.modifiedAtMs) await rm(file, { force: true }).catch(() => {});
  }

  removeNow(segment: HostSegment): void {
    const known = this.#forget(segment);
    if (known === undefined) return;
    if (this.#modifiedAtMs(known.name) === known.facts.modifiedAtMs) this.#discard(known.name);
  }

  #discard(name: string): void {
    try {
      rmSync(this.#pathOf(name), { force: true });
    } catch {
      // A folder, or a file of a read-only disk: its room is lost, nothing else.
    }
  }

  #isAbandoned(name: string): boolean {
    const modifiedAtMs = this.#modifiedAtMs(name);
    return modifiedAtMs !== null && Date.now() - modifiedAtMs > MAX_WRITE_MS;
  }

  #modifiedAtMs(name: string): number | null {
    return statSync(this.#pathOf(name), { throwIfNoEntry: false })?.mtimeMs ?? null;
  }

  #pathOf(name: string): string {
    return path.join(this.#folder, name);
  }

  #forget(segment: HostSegment): FoundFile | undefined {
    const known = this.#files.get(segment);
    if (known === undefined) return undefined;
    this.#files.delete(segment);
    this.#totalBytes -= known.facts.sizeBytes;
    return known;
  }

  #headerOf(segment: HostSegment, pins: PinTimes): PrefixHeader {
    const { startBlock } = segment;
    return { identity: this.#identity, ...keyOf(segment), startBlock, pins };
  }

  /** The name says what is inside, so a header that was changed is found out before it leads anybody. */
  #isOurs(name: string, header: PrefixHeader): boolean {
    const expiresAtMs = expiryOf(header.pins);
    const isAlive = expiresAtMs === 0 || expiresAtMs > Date.now();
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
