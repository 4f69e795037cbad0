import type { Clock } from "../../bench/load/clock.ts";
import type { RequestRecord, ScheduledRequest } from "../../bench/load/request.ts";
import type { PreparedRequest, Reply, Sender } from "../../bench/load/request-sender.ts";

/** Time that moves only when nothing else is left to do. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; wake: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  sleepUntil(timeMs: number): Promise<void> {
    if (timeMs <= this.#nowMs) return Promise.resolve();
    return new Promise((wake) => this.#timers.push({ atMs: timeMs, wake }));
  }

  giveWay(): Promise<void> {
    return Promise.resolve();
  }

  /** Runs until `work` settles, jumping from timer to timer. */
  async run<T>(work: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    work.then(settle, settle);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isSettled) return work;
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const next = this.#timers.shift();
      if (next === undefined) throw new Error("the simulated load waits for something that never comes");
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
  }
}

export interface SimulatedServerOptions {
  ttftMs: number;
  itlMs: number;
  /** Nothing comes out in [stallAtMs, stallAtMs + stallMs). */
  stallAtMs?: number;
  stallMs?: number;
}

/** A sender whose server exists only on a virtual clock. */
export class SimulatedSender implements Sender {
  readonly sent: ScheduledRequest[] = [];
  #aborted = false;
  readonly #clock: VirtualClock;
  readonly #options: SimulatedServerOptions;

  constructor(clock: VirtualClock, options: SimulatedServerOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  prepare(): PreparedRequest {
    return { body: "", promptText: "question" };
  }

  async send(request: ScheduledRequest): Promise<Reply> {
    this.sent.push(request);
    const sentMs = this.#clock.now();
    const chunkMs: number[] = [];
    for (let token = 0; token < request.maxTokens && !this.#aborted; token++) {
      await this.#clock.sleepUntil(
        this.#afterStall(sentMs + this.#options.ttftMs + token * this.#options.itlMs),
      );
      chunkMs.push(this.#clock.now());
    }
    const record = recordOf({
      index: request.index,
      session: request.sessionIndex,
      turn: request.turn,
      scheduledMs: request.scheduledMs,
      slotWaitMs: request.slotWaitMs,
      sentMs,
      chunkMs,
      endMs: this.#clock.now(),
      maxTokens: request.maxTokens,
      outcome: this.#aborted ? "error" : "ok",
      errorKind: this.#aborted ? "unfinished" : null,
    });
    return { record, promptText: "question", text: "answer" };
  }

  abortAll(): void {
    this.#aborted = true;
  }

  #afterStall(dueMs: number): number {
    const { stallAtMs = Infinity, stallMs = 0 } = this.#options;
    return dueMs >= stallAtMs && dueMs < stallAtMs + stallMs ? stallAtMs + stallMs : dueMs;
  }
}

/** A record with small defaults; one token per chunk unless said otherwise. */
export function recordOf(parts: Partial<RequestRecord>): RequestRecord {
  const chunkMs = parts.chunkMs ?? [];
  return {
    index: 0,
    session: 0,
    turn: 0,
    worker: 0,
    label: "all",
    tenant: null,
    scheduledMs: 0,
    slotWaitMs: 0,
    sentMs: parts.scheduledMs ?? 0,
    headersMs: null,
    chunkMs,
    chunkTokens: chunkMs.map(() => 1),
    endMs: chunkMs.at(-1) ?? 0,
    requestedInputTokens: 10,
    maxTokens: chunkMs.length,
    promptTokens: 10,
    cachedTokens: 0,
    outputTokens: chunkMs.length,
    tokenCountSource: "continuous_usage",
    serverQueueMs: null,
    finishReason: "length",
    status: 200,
    requestId: null,
    outcome: "ok",
    errorKind: null,
    errorMessage: null,
    slowReader: false,
    text: null,
    ...parts,
  };
}
