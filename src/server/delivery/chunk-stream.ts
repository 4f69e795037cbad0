import type {
  ChoiceEnd,
  GenerationDelta,
  GenerationError,
  GenerationSummary,
  PromptProgress,
  PromptTokenLogprob,
  QueuePlace,
} from "../../engine/generation.ts";
import { internalError } from "../api-error.ts";
import type { ApiError } from "../api-error.ts";
import type { CompletionCall, PreparedCall } from "../completion-call.ts";
import { toApiError } from "../error-mapping.ts";
import type { CompletionFormat } from "../openai/completion-format.ts";
import type { OutputOptions } from "../openai/generation-options.ts";
import { toTimings, toUsage } from "../openai/usage.ts";
import type { CompletionSink, GenerationPhase } from "./completion-sink.ts";
import type { EventChannel } from "./event-channel.ts";

export interface ChunkStreamOptions {
  readonly format: CompletionFormat;
  readonly channel: EventChannel;
  readonly output: OutputOptions;
  readonly numPromptTokens: number;
  /** Choices of one prompt, and of all. */
  readonly numChoices: number;
  readonly numTotalChoices: number;
  /** Called once, when the stream has ended or failed. */
  readonly onClosed: () => void;
}

/** The sink that streams a call's answer over a channel. */
export function chunkStream(
  call: CompletionCall,
  { request, format }: PreparedCall,
  channel: EventChannel,
): ChunkStream {
  return new ChunkStream({
    format,
    channel,
    output: call.parsed.options.output,
    numPromptTokens: request.prompts.reduce((sum, prompt) => sum + prompt.tokenIds.length, 0),
    numChoices: request.numChoices,
    numTotalChoices: call.numChoices,
    onClosed: () => call.finish(),
  });
}

/** Turns a generation's news into an endpoint's chunks, in the order that clients rely on. */
export class ChunkStream implements CompletionSink {
  phase: GenerationPhase = "queued";
  /** Only for clients that ask, since it makes the answer's status final. */
  readonly onQueued?: (place: QueuePlace) => void;
  readonly #options: ChunkStreamOptions;
  readonly #format: CompletionFormat;
  readonly #channel: EventChannel;
  readonly #opened: boolean[] = [];
  readonly #startedAtMs = performance.now();
  /** News of choices that cannot open yet. */
  #held: (() => void)[] = [];
  #firstTokenAtMs: number | null = null;
  #numCachedTokens = 0;
  #numGeneratedTokens = 0;
  #numEnded = 0;
  #lastEnd: ChoiceEnd | null = null;
  #isClosed = false;

  constructor(options: ChunkStreamOptions) {
    this.#options = options;
    this.#format = options.format;
    this.#channel = options.channel;
    if (options.output.returnProgress) this.onQueued = (place) => this.#channel.tellPlace(place);
  }

  onProgress(progress: PromptProgress): void {
    if (this.phase === "queued") this.phase = "prefill";
    this.#numCachedTokens = Math.max(this.#numCachedTokens, progress.numCachedTokens);
    if (!this.#options.output.returnProgress || this.#isClosed) return;
    const choiceIndex = progress.promptIndex * this.#options.numChoices;
    this.#open(choiceIndex);
    const report = {
      total: progress.numPromptTokens,
      cache: progress.numCachedTokens,
      processed: progress.numComputedTokens,
      time_ms: Math.round(performance.now() - this.#startedAtMs),
    };
    this.#channel.send(
      this.#format.empty(choiceIndex, `${this.#tail()},"prompt_progress":${JSON.stringify(report)}`),
    );
  }

  onPromptLogprobs(promptIndex: number, entries: readonly PromptTokenLogprob[]): void {
    this.#format.notePromptLogprobs(promptIndex, entries);
    const held = this.#held;
    this.#held = [];
    for (const deliver of held) deliver();
  }

  onDelta(delta: GenerationDelta): void {
    if (this.#isClosed) return;
    if (!this.#format.canOpen(delta.choiceIndex)) {
      this.#held.push(() => this.onDelta(delta));
      return;
    }
    this.phase = "decode";
    this.#firstTokenAtMs ??= performance.now();
    this.#open(delta.choiceIndex);
    this.#numGeneratedTokens += delta.tokens.length;
    if (delta.text === "" && !this.#format.needsTokens) return;
    this.#channel.send(this.#format.delta(delta, this.#tail()));
  }

  onChoiceEnd(end: ChoiceEnd): void {
    if (this.#isClosed) return;
    if (end.finishReason !== "stop" && end.finishReason !== "length") {
      this.fail(internalError());
      return;
    }
    if (!this.#format.canOpen(end.choiceIndex)) {
      this.#held.push(() => this.onChoiceEnd(end));
      return;
    }
    this.#open(end.choiceIndex);
    this.#numEnded += 1;
    // The last end waits for the totals, which arrive right after it and belong on the same chunk.
    if (this.#numEnded === this.#options.numTotalChoices) this.#lastEnd = end;
    else this.#channel.send(this.#format.end(end, this.#tail()));
  }

  onEnd(summary: GenerationSummary): void {
    if (this.#isClosed) return;
    const usage = toUsage(summary);
    const { includeUsage, continuousUsage } = this.#options.output;
    const timings = `,"timings":${JSON.stringify(toTimings(summary, summary))}`;
    const usageTail = `,"usage":${JSON.stringify(usage)}`;
    if (this.#lastEnd !== null) {
      const usageHere = continuousUsage ? usageTail : includeUsage ? `,"usage":null` : "";
      this.#channel.send(this.#format.end(this.#lastEnd, usageHere + timings));
    }
    if (includeUsage) this.#channel.send(this.#format.trailer(usageTail));
    this.#close();
    this.#channel.end(usage);
  }

  onError(error: GenerationError): void {
    this.fail(toApiError(error));
  }

  fail(error: ApiError): void {
    if (this.#isClosed) return;
    this.#close();
    this.#channel.fail(error);
  }

  #open(choiceIndex: number): void {
    if (this.#opened[choiceIndex] === true) return;
    this.#opened[choiceIndex] = true;
    const opening = this.#format.opening(choiceIndex, this.#tail());
    if (opening !== null) this.#channel.send(opening);
  }

  /** Keys that a chunk carries besides its choices; nothing at all on an ordinary stream. */
  #tail(): string {
    const { includeUsage, continuousUsage, timingsPerToken } = this.#options.output;
    if (!includeUsage && !continuousUsage && !timingsPerToken) return "";
    const usage = continuousUsage
      ? `,"usage":${JSON.stringify(toUsage(this.#counts()))}`
      : includeUsage
        ? `,"usage":null`
        : "";
    return timingsPerToken ? `${usage},"timings":${JSON.stringify(this.#timings())}` : usage;
  }

  #counts() {
    return {
      numPromptTokens: this.#options.numPromptTokens,
      numCachedTokens: this.#numCachedTokens,
      numGeneratedTokens: this.#numGeneratedTokens,
    };
  }

  #timings(): Record<string, number> {
    const nowMs = performance.now();
    const firstTokenAtMs = this.#firstTokenAtMs ?? nowMs;
    return toTimings(this.#counts(), {
      prefillMs: firstTokenAtMs - this.#startedAtMs,
      decodeMs: nowMs - firstTokenAtMs,
    });
  }

  #close(): void {
    this.#isClosed = true;
    this.#options.onClosed();
  }
}
