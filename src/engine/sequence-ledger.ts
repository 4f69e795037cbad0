import type { ActiveGeneration } from "./active-generation.ts";
import type { Choice } from "./choice.ts";
import type { EngineSnapshot } from "./engine-snapshot.ts";
import { Isolation } from "./isolation.ts";
import type { ToEngine } from "./protocol.ts";
import { WaitingWork, type WaitingItem } from "./waiting-work.ts";

export interface LedgerEntry {
  readonly choice: Choice;
  readonly generation: ActiveGeneration;
  /** Those to be computed. */
  readonly numPromptTokens: number;
  /** The engine has it. */
  isSubmitted: boolean;
  /** How it counts while it has never had rows. */
  readonly waiting: WaitingItem;
  /** When it got rows for the first time, in any engine, moved by the time that it was paused since; null before. */
  startedAtMs: number | null;
  pausedAtMs: number | null;
  /** It has to wait for rows again as soon as it is not paused any more. */
  hasLostRows: boolean;
  /** How it counts while it has to wait for rows again. */
  interruption: WaitingItem | null;
}

/**
 * Every unfinished sequence, in order of arrival, and which of them the current engine knows. Decides what is
 * submitted when: all at once, or one suspect at a time after a crash.
 */
export class SequenceLedger {
  /** Sequences that have never had rows. */
  readonly waiting = new WaitingWork();
  /** Sequences that have had rows and wait for them again, with the tokens that they will hold. */
  readonly interrupted = new WaitingWork();
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #isolation = new Isolation();
  readonly #post: (message: ToEngine) => void;
  #isConnected = false;

  constructor(post: (message: ToEngine) => void) {
    this.#post = post;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Something is to be computed: paused generations only wait for their readers. */
  hasRunnable(): boolean {
    for (const { generation } of this.#entries.values()) if (!generation.isPaused) return true;
    return false;
  }

  /** Sequences that have never had rows and wait for them, in order of arrival. */
  *queued(): Iterable<LedgerEntry> {
    for (const entry of this.#entries.values()) {
      if (entry.startedAtMs === null && entry.pausedAtMs === null) yield entry;
    }
  }

  /** How long each sequence has been at it that has had rows and is not paused. */
  runAgesMs(nowMs: number): number[] {
    const agesMs: number[] = [];
    for (const { startedAtMs, pausedAtMs } of this.#entries.values()) {
      if (startedAtMs !== null && pausedAtMs === null) agesMs.push(nowMs - startedAtMs);
    }
    return agesMs;
  }

  /** Names sequences as their clients know them; those that have ended keep the engine's name. */
  withRequestIds(snapshot: EngineSnapshot): EngineSnapshot {
    const rename = <T extends { readonly requestId: string }>(item: T): T => {
      const entry = this.#entries.get(item.requestId);
      if (entry === undefined) return item;
      const { requestId, choices } = entry.generation;
      const choice = choices.length > 1 ? `#${entry.choice.choiceIndex}` : "";
      return { ...item, requestId: `${requestId}${choice}` };
    };
    return {
      ...snapshot,
      running: snapshot.running.map(rename),
      waiting: snapshot.waiting.map(rename),
      steps: snapshot.steps.map((step) => ({
        ...step,
        calls: step.calls.map((call) => ({ ...call, prefill: call.prefill.map(rename) })),
      })),
    };
  }

  get(sequenceId: string): LedgerEntry | undefined {
    return this.#entries.get(sequenceId);
  }

  /** Of its prompt so many tokens are to be computed. */
  add(choice: Choice, generation: ActiveGeneration, numPromptTokens: number): void {
    const entry: LedgerEntry = {
      choice,
      generation,
      numPromptTokens,
      waiting: waitingItem(choice, generation, numPromptTokens),
      isSubmitted: false,
      startedAtMs: null,
      pausedAtMs: null,
      hasLostRows: false,
      interruption: null,
    };
    this.#entries.set(choice.sequenceId, entry);
    this.waiting.add(entry.waiting);
    if (this.#isConnected && !this.#isolation.isActive) this.#submit([entry]);
  }

  /** Forgets a sequence; with `mustAbort` the engine is told to drop it. */
  remove(sequenceId: string, mustAbort: boolean): void {
    const entry = this.#entries.get(sequenceId);
    if (entry === undefined) return;
    this.#entries.delete(sequenceId);
    this.waiting.remove(entry.waiting);
    this.#goOn(entry);
    if (mustAbort && entry.isSubmitted && this.#isConnected) this.#post({ abort: [sequenceId] });
    if (this.#isolation.clear(sequenceId)) this.#submitNext();
  }

  /** The sequence has got rows. */
  noteStarted(sequenceId: string, nowMs: number): void {
    const entry = this.#entries.get(sequenceId);
    if (entry === undefined) return;
    entry.startedAtMs ??= nowMs;
    entry.hasLostRows = false;
    this.waiting.remove(entry.waiting);
    this.#goOn(entry);
  }

  /** The sequence has lost its rows to another; unless it is paused it takes the next that are free. */
  noteInterrupted(sequenceId: string): void {
    const entry = this.#entries.get(sequenceId);
    if (entry !== undefined) this.#interrupt(entry);
  }

  /** A paused sequence cannot prove itself: it must not hold up the others. */
  notePaused(sequenceId: string, nowMs: number): void {
    const entry = this.#entries.get(sequenceId);
    if (entry !== undefined) {
      entry.pausedAtMs ??= nowMs;
      entry.hasLostRows ||= entry.interruption !== null;
      this.waiting.remove(entry.waiting);
      this.#goOn(entry);
    }
    if (this.#isolation.clear(sequenceId)) this.#submitNext();
  }

  noteResumed(sequenceId: string, nowMs: number): void {
    const entry = this.#entries.get(sequenceId);
    if (entry === undefined || entry.pausedAtMs === null) return;
    if (entry.startedAtMs !== null)
      entry.startedAtMs += nowMs - Math.max(entry.pausedAtMs, entry.startedAtMs);
    entry.pausedAtMs = null;
    if (entry.startedAtMs === null) this.waiting.add(entry.waiting);
    else if (entry.hasLostRows) this.#interrupt(entry);
  }

  noteTokens(sequenceId: string): void {
    const entry = this.#entries.get(sequenceId);
    if (entry !== undefined) this.#goOn(entry);
    if (!this.#isolation.isActive) return;
    const numTokens = entry?.choice.numGeneratedTokens ?? 0;
    if (this.#isolation.noteTokens(sequenceId, numTokens)) this.#submitNext();
  }

  /** A fresh engine serves: gives it everything, or the first suspect alone. */
  connect(): void {
    this.#isConnected = true;
    this.#submitNext();
  }

  /**
   * The engine died. Returns the sequence to give up: the one that was alone on trial when the engine died again of
   * its own fault.
   */
  disconnect(isSelfInflicted: boolean): LedgerEntry | null {
    this.#isConnected = false;
    const culprit = isSelfInflicted ? this.#culprit() : null;
    if (isSelfInflicted && culprit === null) this.#suspectSubmitted();
    for (const entry of this.#entries.values()) {
      entry.isSubmitted = false;
      if (entry.startedAtMs !== null) this.#interrupt(entry);
    }
    return culprit;
  }

  #culprit(): LedgerEntry | null {
    const onTrial = this.#isolation.current;
    const entry = onTrial === null ? undefined : this.#entries.get(onTrial);
    return entry?.isSubmitted === true ? entry : null;
  }

  /** Any of them may have been in the fatal call, also one that was only just admitted. Paused ones were not. */
  #suspectSubmitted(): void {
    this.#isolation.reset();
    for (const [sequenceId, { isSubmitted, generation, choice }] of this.#entries) {
      if (isSubmitted && !generation.isPaused) this.#isolation.suspect(sequenceId, choice.numGeneratedTokens);
    }
  }

  #submitNext(): void {
    if (!this.#isConnected) return;
    const onTrial = this.#isolation.current;
    const entries = [...this.#entries.values()];
    const next = onTrial === null ? entries : entries.filter((entry) => entry.choice.sequenceId === onTrial);
    this.#submit(next.filter((entry) => !entry.isSubmitted));
  }

  #submit(entries: readonly LedgerEntry[]): void {
    if (entries.length === 0) return;
    for (const entry of entries) entry.isSubmitted = true;
    const paused = entries.filter((entry) => entry.generation.isPaused);
    this.#post({
      submit: entries.map((entry) => entry.choice.replayRequest()),
      ...(paused.length > 0 ? { pause: paused.map((entry) => entry.choice.sequenceId) } : {}),
    });
  }

  #interrupt(entry: LedgerEntry): void {
    entry.hasLostRows = entry.pausedAtMs !== null;
    if (entry.interruption !== null || entry.hasLostRows) return;
    const { choice, generation, numPromptTokens } = entry;
    entry.interruption = waitingItem(choice, generation, numPromptTokens + choice.numGeneratedTokens);
    this.interrupted.add(entry.interruption);
  }

  #goOn(entry: LedgerEntry): void {
    if (entry.interruption !== null) this.interrupted.remove(entry.interruption);
    entry.interruption = null;
  }
}

function waitingItem(choice: Choice, generation: ActiveGeneration, numTokens: number): WaitingItem {
  const { tenantId, priority } = generation.request;
  return { tenantId, priority, numTokens, dueMs: choice.dueMs(generation.acceptedAtMs) };
}
