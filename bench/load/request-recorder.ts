import type { TokenCounting } from "./load-options.ts";
import type { Outcome, RequestRecord, ScheduledRequest, TokenCountSource } from "./request.ts";

import * as chunk from "./chunk-scanner.ts";

/** Why a request did not end well; `kind` is the label in reports. */
export class RequestError extends Error {
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(message);
    this.name = "RequestError";
    this.kind = kind;
  }
}

/** The parts of a final chunk or body that the harness reads. */
interface FinalBody {
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  /** vLLM's. */
  metrics?: { queue_time_ms?: number } | null;
  /** llama-server's and Headway's. */
  timings?: { prompt_ms?: number } | null;
}

/** Round to a microsecond: the JSONL stays small and nothing measured is finer. */
const toMicros = (timeMs: number): number => Math.round(timeMs * 1000) / 1000;

/**
 * Collects the times of one request while it streams and makes its record. Chunks are scanned as bytes;
 * only the last payload with usage is parsed, after the stream's end.
 */
export class RequestRecorder {
  readonly request: ScheduledRequest;
  readonly #counting: TokenCounting;
  readonly #onText: (numTokens: number) => void;
  readonly #texts: Buffer[] = [];
  readonly #chunkMs: number[] = [];
  readonly #chunkTokens: number[] = [];
  #sentMs = Number.NaN;
  #headersMs: number | null = null;
  #status: number | null = null;
  #requestId: string | null = null;
  #numTokens = 0;
  #pendingTokens = 0;
  #source: TokenCountSource = "chunks";
  #lastUsage: Buffer | null = null;
  #lastTimings: Buffer | null = null;
  #finishReason: string | null = null;
  #isDone = false;

  /** `onText` is called after each text chunk with the tokens received so far. */
  constructor(request: ScheduledRequest, counting: TokenCounting, onText: (numTokens: number) => void) {
    this.request = request;
    this.#counting = counting;
    this.#onText = onText;
  }

  sent(nowMs: number): void {
    this.#sentMs = nowMs;
  }

  headers(nowMs: number, status: number, requestId: string | null): void {
    this.#headersMs = nowMs;
    this.#status = status;
    this.#requestId = requestId;
  }

  /** One stream chunk (the JSON after `data:`, or a WebSocket frame's chunk). Throws RequestError. */
  payload(payload: Buffer, nowMs: number): void {
    if (chunk.isDone(payload)) {
      this.#isDone = true;
      return;
    }
    const isText = chunk.hasText(payload);
    if (!isText && chunk.hasError(payload)) throw streamError(payload);
    this.#pendingTokens += this.#countTokens(payload, isText);
    if (isText) this.#textChunk(payload, nowMs);
    else if (chunk.hasTimings(payload)) this.#lastTimings = payload;
    this.#finishReason = chunk.finishReason(payload) ?? this.#finishReason;
  }

  /** The whole body of an answer that is not a stream. */
  body(body: Buffer): void {
    this.#lastUsage = body;
    this.#source = "none";
    this.#isDone = true;
  }

  /** Ends the record. `error` is null for a stream that ended; `cancelled` when the client broke it off. */
  finish(
    nowMs: number,
    error: Error | null,
    { worker, cancelled }: { worker: number; cancelled: boolean },
  ): RequestRecord {
    const failure = cancelled ? null : (error ?? this.#incompleteError());
    const final = this.#parseFinal();
    const usedTokens = final.usage?.completion_tokens ?? null;
    if (this.#source === "chunks" && usedTokens !== null) this.#source = "usage";
    return {
      ...this.#identity(worker),
      scheduledMs: toMicros(this.request.scheduledMs),
      slotWaitMs: toMicros(this.request.slotWaitMs),
      sentMs: toMicros(this.#sentMs),
      headersMs: this.#headersMs === null ? null : toMicros(this.#headersMs),
      chunkMs: this.#chunkMs,
      chunkTokens: this.#chunkTokens,
      endMs: toMicros(nowMs),
      promptTokens: final.usage?.prompt_tokens ?? null,
      cachedTokens: final.usage?.prompt_tokens_details?.cached_tokens ?? null,
      outputTokens: usedTokens ?? this.#numTokens,
      tokenCountSource: this.#source,
      serverQueueMs: this.#serverQueueMs(final),
      finishReason: this.#finishReason,
      status: this.#status,
      requestId: this.#requestId,
      outcome: outcomeOf(failure, cancelled),
      errorKind: failure instanceof RequestError ? failure.kind : failure === null ? null : "client",
      errorMessage: failure === null ? null : failure.message.slice(0, 500),
      text: this.request.keepText ? this.text() : null,
    };
  }

  /** The text of the reply; only where the request asked to capture it. */
  text(): string {
    return this.#texts.map((payload) => textOf(JSON.parse(payload.toString()))).join("");
  }

  #identity(worker: number) {
    const { index, sessionIndex, turn, label, tenant, maxTokens, slowReader, segments } = this.request;
    const sized = segments.filter((segment) => "numTokens" in segment);
    const requestedInputTokens =
      sized.length === 0 ? null : sized.reduce((sum, each) => sum + each.numTokens, 0);
    return {
      index,
      session: sessionIndex,
      turn,
      worker,
      label,
      tenant: tenant?.name ?? null,
      maxTokens,
      slowReader,
      requestedInputTokens,
    };
  }

  #textChunk(payload: Buffer, nowMs: number): void {
    this.#chunkMs.push(toMicros(nowMs));
    this.#chunkTokens.push(this.#pendingTokens);
    this.#numTokens += this.#pendingTokens;
    this.#pendingTokens = 0;
    if (this.request.captureText) this.#texts.push(Buffer.from(payload));
    this.#onText(this.#numTokens);
  }

  /**
   * Tokens this chunk brought. A running usage total is exact and includes tokens that showed no text
   * (they are added to the next text chunk); otherwise logprobs; otherwise a text chunk is one token.
   */
  #countTokens(payload: Buffer, isText: boolean): number {
    const total = chunk.completionTokens(payload);
    if (total !== -1) this.#lastUsage = payload;
    // A total that comes only with the last text is no running count.
    const isFirstText = isText && this.#chunkMs.length === 0;
    if (isFirstText && total > 0 && this.#counting !== "chunks") this.#source = "continuous_usage";
    if (this.#source === "continuous_usage")
      return total === -1 ? 0 : total - this.#numTokens - this.#pendingTokens;
    if (this.#counting === "logprobs") {
      const count = chunk.numTokensInLogprobs(payload);
      if (count > 0) {
        this.#source = "logprobs";
        return count;
      }
    }
    return isText ? 1 : 0;
  }

  #incompleteError(): RequestError | null {
    if (!this.#isDone && this.#finishReason === null) {
      return new RequestError("incomplete", "the stream ended without a finish reason");
    }
    if (this.#source !== "none" && this.#chunkMs.length === 0)
      return new RequestError("empty", "the stream carried no text");
    return null;
  }

  /** As the server reports it, else what of the TTFT was not the prefill time that it reports. */
  #serverQueueMs({ metrics, timings }: FinalBody): number | null {
    const reported = metrics?.queue_time_ms;
    const firstMs = this.#chunkMs[0];
    if (reported !== undefined) return reported;
    if (timings?.prompt_ms === undefined || firstMs === undefined) return null;
    return toMicros(Math.max(0, firstMs - this.#sentMs - timings.prompt_ms));
  }

  /** Usage and timings, which servers put into one last chunk or into two. */
  #parseFinal(): FinalBody {
    return { ...parseOrEmpty(this.#lastTimings), ...parseOrEmpty(this.#lastUsage) };
  }
}

function parseOrEmpty(payload: Buffer | null): FinalBody {
  if (payload === null) return {};
  try {
    return JSON.parse(payload.toString()) as FinalBody;
  } catch {
    return {};
  }
}

function outcomeOf(failure: Error | null, cancelled: boolean): Outcome {
  if (cancelled) return "cancelled";
  return failure === null ? "ok" : "error";
}

function streamError(payload: Buffer): RequestError {
  return new RequestError("stream_error", payload.toString("utf8", 0, 500));
}

interface TextChunk {
  choices?: { delta?: { content?: string | null }; text?: string }[];
}

function textOf(chunkObject: TextChunk): string {
  const choice = chunkObject.choices?.[0];
  return choice?.delta?.content ?? choice?.text ?? "";
}
