import type { Clock } from "./clock.ts";
import type { LoadOptions } from "./load-options.ts";
import type { ChatMessage, PlannedRequest, RequestRecord, ScheduledRequest, Session } from "./request.ts";
import type { PreparedRequest, Sender } from "./request-sender.ts";

import { deriveSeed, seededRandom, uniformInteger } from "../seeded-random.ts";
import { Semaphore } from "./semaphore.ts";

/** A session with its place in the whole run, the same in every worker. */
export interface NumberedSession {
  session: Session;
  sessionIndex: number;
  firstRequestIndex: number;
}

export interface LoadRunnerOptions {
  load: LoadOptions;
  /** All sessions of the run; this runner takes every `worker.count`-th. */
  sessions: Iterable<Session>;
  /** Arrival times in ms for an open loop; null for a closed one. A session's own time wins. */
  arrivals: Iterable<number> | null;
  worker: { index: number; count: number };
  clock: Clock;
  sender: Sender;
  onSend: () => void;
  onRecord: (record: RequestRecord) => void;
}

interface SessionStart {
  numbered: NumberedSession;
  atMs: number;
  first: ScheduledRequest;
  prepared: PreparedRequest;
}

/**
 * Requests whose text is written ahead of their time, so that a burst of long prompts is not held up by
 * writing them; none is begun when the next one is due within the margin.
 */
const MAX_PREPARED = 64;
const PREPARE_MARGIN_MS = 5;

/**
 * Drives one worker's part of the load.
 *
 * Open loop: every session starts at its scheduled time whatever the server does; a cap on requests in
 * flight makes requests wait in the client, and that wait counts. Closed loop: each client starts its
 * next session when its last one ended, so a slow server slows its own load.
 */
export class LoadRunner {
  readonly #options: LoadRunnerOptions;
  readonly #slots: Semaphore;
  readonly #running = new Set<Promise<void>>();

  constructor(options: LoadRunnerOptions) {
    this.#options = options;
    this.#slots = new Semaphore(this.#share(options.load.concurrency ?? Infinity));
  }

  /** Resolves when every request has ended or been broken off after the drain time. */
  async run(): Promise<void> {
    await (this.#isOpenLoop() ? this.#runOpenLoop() : this.#runClosedLoop());
  }

  #isOpenLoop(): boolean {
    return this.#options.arrivals !== null;
  }

  /** This worker's part of a number of clients or of a cap; at least one, or it could never send. */
  #share(total: number): number {
    const { index, count } = this.#options.worker;
    if (total === Infinity) return total;
    return Math.max(1, Math.floor(total / count) + (index < total % count ? 1 : 0));
  }

  #endMs(): number {
    return this.#options.load.durationMs ?? Infinity;
  }

  async #runOpenLoop(): Promise<void> {
    const { clock } = this.#options;
    const starts = this.#starts();
    const ahead: SessionStart[] = [];
    for (;;) {
      const next = ahead.shift() ?? starts.next().value;
      if (next === undefined) break;
      while (ahead.length < MAX_PREPARED && next.atMs - clock.now() > PREPARE_MARGIN_MS) {
        const later = starts.next().value;
        if (later === undefined) break;
        ahead.push(later);
        await clock.giveWay();
      }
      await clock.sleepUntil(next.atMs);
      this.#track(this.#runSession(next.numbered, next.first, next.prepared));
    }
    await this.#drain();
  }

  /** This worker's sessions with their first request ready to send, in the order of their times. */
  *#starts(): Generator<SessionStart, undefined> {
    const { sender, sessions, load } = this.#options;
    const arrivals = (this.#options.arrivals as Iterable<number>)[Symbol.iterator]();
    for (const numbered of numberSessions(sessions, load.maxRequests)) {
      const drawnMs = arrivals.next().value as number;
      const atMs = numbered.session.atMs ?? drawnMs;
      if (atMs >= this.#endMs()) return undefined;
      if (!this.#isMine(numbered)) continue;
      const first = this.#schedule(numbered, { turn: 0, scheduledMs: atMs, history: [] });
      yield { numbered, atMs, first, prepared: sender.prepare(first) };
    }
    return undefined;
  }

  async #runClosedLoop(): Promise<void> {
    const numbered = numberSessions(this.#options.sessions, this.#options.load.maxRequests);
    const numClients = this.#share(this.#options.load.concurrency ?? 1);
    for (let client = 0; client < numClients; client++) {
      const startMs = (client / numClients) * this.#options.load.rampUpMs;
      this.#track(this.#runClient(numbered, startMs));
    }
    if (this.#endMs() < Infinity) {
      await Promise.race([this.#settled(), this.#options.clock.sleepUntil(this.#endMs())]);
    } else {
      await this.#settled();
    }
    await this.#drain();
  }

  async #runClient(sessions: Iterator<NumberedSession>, startMs: number): Promise<void> {
    const { clock, sender } = this.#options;
    await clock.sleepUntil(startMs);
    while (clock.now() < this.#endMs()) {
      const numbered = this.#nextOfMine(sessions);
      if (numbered === null) return;
      const draft = this.#schedule(numbered, { turn: 0, scheduledMs: 0, history: [] });
      const prepared = sender.prepare(draft);
      await this.#runSession(numbered, { ...draft, scheduledMs: clock.now() }, prepared);
    }
  }

  #nextOfMine(sessions: Iterator<NumberedSession>): NumberedSession | null {
    for (let next = sessions.next(); next.done !== true; next = sessions.next()) {
      if (this.#isMine(next.value)) return next.value;
    }
    return null;
  }

  #isMine({ sessionIndex }: NumberedSession): boolean {
    const { index, count } = this.#options.worker;
    return sessionIndex % count === index;
  }

  /** Runs the turns one after another; a turn that fails ends the conversation. */
  async #runSession(
    numbered: NumberedSession,
    first: ScheduledRequest,
    prepared: PreparedRequest,
  ): Promise<void> {
    const { clock, sender } = this.#options;
    let request = first;
    let ready = prepared;
    for (;;) {
      const reply = await this.#sendInSlot(request, ready);
      this.#options.onRecord(reply.record);
      const turn = request.turn + 1;
      if (turn >= numbered.session.turns.length || reply.record.outcome !== "ok") return;
      const scheduledMs = reply.record.endMs + numbered.session.thinkMs;
      if (scheduledMs >= this.#endMs()) return;
      const history = [...request.history, ...said(request, reply.promptText, reply.text)];
      request = this.#schedule(numbered, { turn, scheduledMs, history });
      ready = sender.prepare(request);
      await clock.sleepUntil(scheduledMs);
    }
  }

  async #sendInSlot(request: ScheduledRequest, prepared: PreparedRequest) {
    const { clock, sender, onSend } = this.#options;
    const wait = this.#slots.acquire();
    const waitsFromMs = clock.now();
    if (wait !== null) await wait;
    const slotWaitMs = wait === null ? 0 : clock.now() - waitsFromMs;
    onSend();
    try {
      return await sender.send({ ...request, slotWaitMs }, prepared);
    } finally {
      this.#slots.release();
    }
  }

  #schedule(
    { session, sessionIndex, firstRequestIndex }: NumberedSession,
    place: { turn: number; scheduledMs: number; history: readonly ChatMessage[] },
  ): ScheduledRequest {
    const planned = session.turns[place.turn] as PlannedRequest;
    const index = firstRequestIndex + place.turn;
    const { keepText } = this.#options.load;
    const captureText = keepText || place.turn + 1 < session.turns.length;
    return {
      ...planned,
      ...place,
      index,
      sessionIndex,
      captureText,
      keepText,
      slotWaitMs: 0,
      ...this.#behaviour(index, planned),
    };
  }

  /** Drawn per request index, so that it does not depend on the order of events or on the worker. */
  #behaviour(index: number, { maxTokens }: PlannedRequest) {
    const { seed, cancelShare, slowShare } = this.#options.load;
    const random = seededRandom(deriveSeed(seed, `behaviour ${index}`));
    const slowReader = random() < slowShare;
    const cancels = random() < cancelShare;
    return {
      slowReader,
      cancelAfterTokens: cancels ? uniformInteger(random, 0, Math.max(0, maxTokens - 1)) : null,
    };
  }

  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  async #settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #drain(): Promise<void> {
    const { clock, sender, load } = this.#options;
    const settled = this.#settled();
    await Promise.race([settled, clock.sleepUntil(clock.now() + load.drainMs)]);
    sender.abortAll();
    await settled;
  }
}

function said(request: ScheduledRequest, promptText: string, reply: string): ChatMessage[] {
  const asked = request.messages ?? [{ role: "user", content: promptText }];
  return [...asked, { role: "assistant", content: reply }];
}

/** Numbers sessions and requests and ends after `maxRequests`, cutting the last session short. */
export function* numberSessions(
  sessions: Iterable<Session>,
  maxRequests: number | null,
): Generator<NumberedSession> {
  const limit = maxRequests ?? Infinity;
  let sessionIndex = 0;
  let firstRequestIndex = 0;
  for (const session of sessions) {
    if (firstRequestIndex >= limit) return;
    const turns = session.turns.slice(0, Math.min(session.turns.length, limit - firstRequestIndex));
    yield { session: { ...session, turns }, sessionIndex, firstRequestIndex };
    sessionIndex++;
    firstRequestIndex += turns.length;
  }
}
