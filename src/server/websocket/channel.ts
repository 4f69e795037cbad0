import type { QueuePlace } from "../../engine/generation.ts";
import type { ServerMetrics } from "../../telemetry/server-metrics.ts";
import { ApiError } from "../api-error.ts";
import type { CompletionCall } from "../completion-call.ts";
import type { EventChannel } from "../delivery/event-channel.ts";
import type { Usage } from "../openai/usage.ts";
import { errorFrame } from "./frames.ts";

export interface WebSocketChannelOptions {
  readonly id: string;
  readonly call: CompletionCall;
  /** Chunks that the client takes before it gives more credits; null for any number. */
  readonly credits: number | null;
  /** How long a client may withhold credits while chunks wait. */
  readonly maxPausedMs: number;
  readonly metrics: ServerMetrics;
  readonly send: (frame: string) => void;
  /** The generation's last frame has been sent. */
  readonly onClosed: () => void;
}

/** One generation's stream among those of its socket. */
export class WebSocketChannel implements EventChannel {
  readonly call: CompletionCall;
  readonly #options: WebSocketChannelOptions;
  readonly #chunkHead: string;
  #credits: number;
  /** Chunks without a credit yet; short, since the generation pauses with the last credit. */
  #waiting: string[] = [];
  #lastFrames: string[] | null = null;
  #isSocketFull = false;
  #isPaused = false;
  #isClosed = false;
  #creditTimer: NodeJS.Timeout | null = null;

  constructor(options: WebSocketChannelOptions) {
    this.#options = options;
    this.call = options.call;
    this.#credits = options.credits ?? Number.POSITIVE_INFINITY;
    this.#chunkHead = `{"type":"chunk","id":${JSON.stringify(options.id)},"chunk":`;
  }

  /** Nothing more will be sent for this generation. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Outside of the credits, as it is gone by the time of the first chunk. */
  tellPlace({ position, etaMs }: QueuePlace): void {
    const { id, send } = this.#options;
    send(JSON.stringify({ type: "queue", id, position, eta_ms: etaMs }));
  }

  send(chunk: string): void {
    this.#waiting.push(`${this.#chunkHead}${chunk}}`);
    this.#advance();
  }

  end(usage: Usage): void {
    const { id } = this.#options;
    this.#finish([JSON.stringify({ type: "usage", id, usage }), JSON.stringify({ type: "done", id })]);
  }

  fail(error: ApiError): void {
    this.#waiting = [];
    this.#finish([JSON.stringify(errorFrame(this.#options.id, error))]);
  }

  addCredits(credits: number): void {
    this.#credits += credits;
    this.#advance();
  }

  /** The socket's own buffer is full, or has room again. */
  setSocketFull(isFull: boolean): void {
    this.#isSocketFull = isFull;
    this.#updateFlow();
  }

  /** Stops at once; nothing more is sent. */
  close(): void {
    this.#stopCreditTimer();
    this.#waiting = [];
    this.#isClosed = true;
    this.#setPaused(false);
    this.call.finish();
  }

  #finish(frames: string[]): void {
    this.#lastFrames = frames;
    this.#advance();
  }

  #advance(): void {
    const numSent = Math.min(this.#waiting.length, this.#credits);
    for (const frame of this.#waiting.splice(0, numSent)) this.#options.send(frame);
    this.#credits -= numSent;
    if (this.#waiting.length === 0 && this.#lastFrames !== null) this.#sendLast(this.#lastFrames);
    else this.#updateFlow();
  }

  #sendLast(frames: readonly string[]): void {
    this.#stopCreditTimer();
    this.#isClosed = true;
    this.#setPaused(false);
    for (const frame of frames) this.#options.send(frame);
    this.#options.onClosed();
  }

  #updateFlow(): void {
    if (this.#isClosed) return;
    const lacksCredit = this.#credits === 0;
    if (lacksCredit) {
      this.#creditTimer ??= setTimeout(() => this.#giveUp(), this.#options.maxPausedMs);
    } else {
      this.#stopCreditTimer();
    }
    this.#setPaused(lacksCredit || this.#isSocketFull);
  }

  /** A generation is paused once, however many reasons there are. */
  #setPaused(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    const { metrics } = this.#options;
    if (isPaused) {
      metrics.onStreamPaused();
      this.call.pause();
    } else {
      metrics.onStreamResumed();
      if (!this.#isClosed) this.call.resume();
    }
  }

  /** A generation may not keep its cache for a client that does not read. */
  #giveUp(): void {
    this.#options.metrics.onStreamCut();
    const message = "The client gave no credits for too long.";
    this.call.finish();
    this.fail(new ApiError(message, { status: 408, code: "slow_reader" }));
  }

  #stopCreditTimer(): void {
    if (this.#creditTimer !== null) clearTimeout(this.#creditTimer);
    this.#creditTimer = null;
  }
}
