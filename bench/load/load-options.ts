import type { LoadShape } from "./load-shape.ts";

export type Api = "chat" | "completions" | "websocket" | "embeddings";

/** How tokens per chunk are found; 'usage' asks for `continuous_usage_stats`. */
export type TokenCounting = "usage" | "logprobs" | "chunks";

/** Where and how to send; what one worker needs to talk to the server. */
export interface TargetOptions {
  /** Server address with or without `/v1`. */
  url: string;
  api: Api;
  model: string;
  key: string | null;
  timeoutMs: number;
  counting: TokenCounting;
  /** Ask the server not to stop before `maxTokens`. */
  ignoreEos: boolean;
  temperature: number | null;
  /** Extra fields for every request body. */
  extraBody: Record<string, unknown>;
}

/** When to send and for how long. Rates are requests per second, durations milliseconds. */
export interface LoadOptions {
  /** Null: closed loop, each of `concurrency` clients sends its next request after its last. */
  shape: LoadShape | null;
  burstiness: number;
  /** Closed loop: number of clients. Open loop: cap on requests in flight (null: none). */
  concurrency: number | null;
  maxRequests: number | null;
  durationMs: number | null;
  /** Closed loop: spread the clients' first requests over this time. */
  rampUpMs: number;
  /** After the last send, requests still running get this long before they count as errors. */
  drainMs: number;
  cancelShare: number;
  slowShare: number;
  /** Pause of a slow reader after each read. */
  slowReadMs: number;
  /** Keep the replies' text in the records. */
  keepText: boolean;
  seed: number;
}
