import type { DiskExchange } from "../../kvcache/disk-exchange.ts";
import type { HostTier } from "../../kvcache/host-tier.ts";
import type { HostSegment } from "../../kvcache/prefix-cache.ts";
import { pathTo } from "../../kvcache/segment-store.ts";
import { GrowingPauses } from "./growing-pauses.ts";
import { expiryOf, isFileDue, pinTimesOf, toPins, type Clocks, type PinTimes } from "./pin-times.ts";
import { isIntact } from "./prefix-file.ts";
import { PrefixFolder, type FoundFile } from "./prefix-folder.ts";
import type { HeldCopy, HostCopies } from "./host-copies.ts";
import { ReadSpeed } from "./read-speed.ts";
import { within } from "./within.ts";

export interface DiskTierOptions {
  readonly folder: string;
  readonly maxBytes: number;
  /** What the bytes depend on; files of another identity are not read. */
  readonly identity: string;
  readonly host: HostTier;
  readonly copies: HostCopies;
  readonly blockSize: number;
  /** To compute a token again; what comes faster than it is read gets no file unless it is pinned. */
  readonly computeMsPerToken: () => number;
  /** Monotonic milliseconds, those of the pins. */
  readonly now: () => number;
  /** A disk that does not answer for so long is not asked again; requests wait for no longer. */
  readonly readTimeoutMs?: number;
}

const DEFAULT_READ_TIMEOUT_MS = 5000;

/** A segment to be written, its bytes held. */
interface Work {
  readonly segment: HostSegment;
  readonly copy: HeldCopy;
  readonly pins: PinTimes;
}

/**
 * The tier below host memory: files of pinned prefixes, for the next start, and of what host memory is about to give up.
 * Writes and reads go on in the background, one of each at a time; what is lost before its turn came is computed again.
 * Whatever the disk does costs a computation at most.
 */
export class DiskTier {
  readonly #options: DiskTierOptions;
  readonly #disk: DiskExchange;
  readonly #files: PrefixFolder;
  readonly #readSpeed = new ReadSpeed();
  /** Segments that did not fit or could not be written, and the folder as a whole when the disk takes nothing. */
  readonly #pauses = new GrowingPauses<HostSegment | PrefixFolder>();
  #isWriting = false;
  #isReading = false;
  #isOff = false;

  constructor(options: DiskTierOptions) {
    this.#options = options;
    this.#disk = options.host.disk;
    this.#files = new PrefixFolder(options.folder, options.identity);
  }

  /**
   * Finds what earlier runs kept. What is pinned goes to host memory at once, as far as there is room. What leads on from
   * nothing stays, for another server may have written it, until it is old. Returns how many tokens are pinned.
   */
  load(): number {
    let numTokens = 0;
    for (const file of this.#files.find()) {
      const { pins, startBlock, tokens } = file.facts.header;
      const isPinned = expiryOf(pins) > 0;
      const isOfUse = (isPinned && this.#adopt(file)) || this.#note(file);
      if (isPinned && isOfUse) numTokens += tokens.length - startBlock * this.#options.blockSize;
    }
    const byUse = [...this.#files.segments].toSorted(
      (left, right) => this.#files.factsOf(left)!.modifiedAtMs - this.#files.factsOf(right)!.modifiedAtMs,
    );
    for (const segment of byUse) this.#disk.touch(segment);
    return numTokens;
  }

  /** Reads what is wanted, in the background. `onRead` is told of each piece that has come or will not. */
  fetch(onRead: () => void): void {
    if (this.#isReading || this.#nextWanted() === null) return;
    this.#isReading = true;
    void this.#fetchAll(onRead);
  }

  /** Brings the folder up to date in the background. Harmless while it is still at it. */
  async sync(): Promise<void> {
    if (this.#isWriting || this.#isOff) return;
    this.#isWriting = true;
    try {
      for (;;) {
        for (const segment of this.#outdated()) await this.#files.remove(segment);
        if (this.#pauses.has(this.#files, this.#options.now())) break;
        const work = this.#nextPinned() ?? this.#nextCold();
        if (work === null) break;
        await this.#write(work);
        this.#pauses.noteSuccess(this.#files);
      }
    } catch {
      // A read-only or full disk.
      this.#pauses.noteFailure(this.#files, this.#options.now());
    } finally {
      this.#isWriting = false;
    }
  }

  /** Writes what is pinned at once, before the process ends. */
  flush(): void {
    this.#pauses.clear();
    try {
      for (const segment of this.#outdated()) this.#files.removeNow(segment);
      for (let work = this.#nextPinned(); work !== null; work = this.#nextPinned()) {
        const { segment, copy } = work;
        for (const victim of this.#victims(work) ?? []) this.#files.removeNow(victim);
        this.#files.writeNow(segment, copy.bytes, this.#allPins(work));
        copy.free();
      }
    } catch {
      // A read-only or full disk.
    }
  }

  #adopt({ name, facts }: FoundFile): boolean {
    const { copies } = this.#options;
    const bytes = this.#files.readNow(name);
    if (bytes === null) return false;
    const { header } = facts;
    const clocks = this.#clocks();
    const segment = this.#disk.adopt(header, header.startBlock, toPins(header.pins, clocks), clocks.nowMs);
    if (segment === null) return false;
    const copy = copies.createHostCopy(bytes.length);
    copy.bytes.set(bytes);
    copies.fillHostSlot(segment.slot, copy);
    this.#files.enter(segment, { name, facts });
    return true;
  }

  #note(file: FoundFile): boolean {
    const { header } = file.facts;
    const clocks = this.#clocks();
    const segment = this.#disk.noteFile(header, header.startBlock, toPins(header.pins, clocks), clocks.nowMs);
    if (segment !== null) this.#files.enter(segment, file);
    return segment !== null;
  }

  async #fetchAll(onRead: () => void): Promise<void> {
    for (let next = this.#nextWanted(); next !== null; next = this.#nextWanted()) {
      await this.#read(next);
      onRead();
    }
    this.#isReading = false;
  }

  #nextWanted(): HostSegment | null {
    for (const segment of this.#disk.index.wanted) return segment;
    return null;
  }

  async #read(segment: HostSegment): Promise<void> {
    const facts = this.#files.factsOf(segment);
    if (facts === undefined || this.#isOff) return this.#lose(segment);
    if (!this.#isWorthReading(segment, facts.payloadBytes)) {
      this.#readSpeed.noteUntried();
      this.#disk.index.settle(segment);
      return;
    }
    const copy = this.#options.copies.createHostCopy(facts.payloadBytes);
    const reading = this.#files.read(segment, copy.bytes).catch(() => null);
    const startMs = this.#options.now();
    const frame = await within(this.#options.readTimeoutMs ?? DEFAULT_READ_TIMEOUT_MS, reading);
    if (frame === undefined) {
      this.#isOff = true;
      // The bytes may still come.
      void reading.then(() => {
        copy.free();
      });
    } else if (frame !== null && (await isIntact(facts.header, copy.bytes, frame))) {
      this.#readSpeed.note(facts.payloadBytes, this.#options.now() - startMs);
      void this.#files.touch(segment);
      return this.#place(segment, copy);
    } else {
      copy.free();
    }
    await this.#lose(segment);
  }

  #place(segment: HostSegment, copy: HeldCopy): void {
    const slot = this.#disk.load(segment, this.#options.now());
    if (slot === null) copy.free();
    else this.#options.copies.fillHostSlot(slot, copy);
  }

  /** A file is of no use: it goes, and its segment is computed when it is asked for. */
  async #lose(segment: HostSegment): Promise<void> {
    this.#disk.noteRemoved(segment);
    // A disk that hangs would hang this too.
    if (!this.#isOff) await this.#files.remove(segment);
  }

  #isWorthReading({ nodes }: HostSegment, sizeBytes: number): boolean {
    const computeMs = nodes.length * this.#options.blockSize * this.#options.computeMsPerToken();
    return this.#readSpeed.predictMs(sizeBytes) < computeMs;
  }

  async #write(work: Work): Promise<void> {
    const { segment, copy } = work;
    try {
      for (const victim of this.#victims(work) ?? []) await this.#lose(victim);
      await this.#files.write(segment, copy.bytes, this.#allPins(work));
    } catch (error) {
      // Lest it be in the way of others that can be written.
      this.#pauses.noteFailure(segment, this.#options.now());
      throw error;
    } finally {
      copy.free();
    }
    if (!this.#disk.noteWritten(segment)) await this.#files.remove(segment);
  }

  /** Files of segments that are lost, and of pins that are over: these were written for their time only. */
  *#outdated(): Iterable<HostSegment> {
    const nowMs = this.#options.now();
    for (const segment of this.#files.segments) {
      const wasPinned = expiryOf(this.#files.factsOf(segment)!.header.pins) > 0;
      const isOver = wasPinned && segment.nodes[0]!.pinnedUntilMs <= nowMs;
      if (this.#disk.index.has(segment) && !isOver) continue;
      this.#disk.noteRemoved(segment);
      // Its room may be enough for what did not fit.
      this.#pauses.clear();
      yield segment;
    }
  }

  /** A pinned segment whose file is missing or ends much too early, if it fits. */
  #nextPinned(): Work | null {
    const clocks = this.#clocks();
    for (const segment of this.#options.host.pinned(clocks.nowMs)) {
      if (this.#pauses.has(segment, clocks.nowMs)) continue;
      const pins = pinTimesOf(segment.nodes[0]!, clocks);
      const inFile = this.#files.factsOf(segment)?.header.pins ?? {};
      const work = isFileDue(inFile, pins, clocks.unixMs) ? this.#workOf(segment, pins) : null;
      if (work !== null) return work;
    }
    return null;
  }

  /** Those of other servers too, which are kept here as well from now on, lest the file that is replaced be their loss. */
  #allPins({ segment, pins }: Work): PinTimes {
    const others = this.#files.pinsOfOthers(segment);
    if (expiryOf(others) === 0) return pins;
    const clocks = this.#clocks();
    this.#disk.pin(segment, toPins(others, clocks), clocks.nowMs);
    return pinTimesOf(segment.nodes[0]!, clocks);
  }

  #clocks(): Clocks {
    return { nowMs: this.#options.now(), unixMs: Date.now() };
  }

  /** Something that host memory will give up soon, if it can be had back sooner than by computing it. */
  #nextCold(): Work | null {
    const [segment, clocks] = [this.#disk.nextToWrite(), this.#clocks()];
    if (segment === null || this.#pauses.has(segment, clocks.nowMs)) return null;
    const work = this.#workOf(segment, pinTimesOf(segment.nodes[0]!, clocks));
    if (work === null || this.#isWorthReading(work.segment, work.copy.bytes.length)) return work;
    work.copy.free();
    return null;
  }

  #workOf(segment: HostSegment, pins: PinTimes): Work | null {
    const copy = this.#options.copies.holdHostCopy(segment.slot);
    if (copy === null) return null;
    const work = { segment, copy, pins };
    if (this.#victims(work) !== null) return work;
    copy.free();
    this.#pauses.noteFailure(segment, this.#options.now());
    return null;
  }

  /**
   * Whose files make room for another one, least recently used first; null when that is not enough. What is pinned
   * stays, and what leads to the newcomer, and what is itself about to leave memory, lest files chase each other.
   */
  #victims({ segment, copy, pins }: Work): HostSegment[] | null {
    const nowMs = this.#options.now();
    const oldBytes = this.#files.factsOf(segment)?.sizeBytes ?? 0;
    const newBytes = this.#files.sizeOf(segment, copy.bytes.length, pins);
    let numBytes = this.#files.totalBytes - oldBytes + newBytes - this.#options.maxBytes;
    if (numBytes <= 0) return [];
    const spared = new Set([...pathTo(segment).map(({ hosted }) => hosted), ...this.#disk.cold()]);
    const victims: HostSegment[] = [];
    for (const victim of this.#disk.index.segments()) {
      if (spared.has(victim) || victim.nodes[0]!.pinnedUntilMs > nowMs) continue;
      victims.push(victim);
      numBytes -= this.#files.factsOf(victim)?.sizeBytes ?? 0;
      if (numBytes <= 0) return victims;
    }
    return null;
  }
}
