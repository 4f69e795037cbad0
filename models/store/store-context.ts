import type { Environment } from "./cache-dirs.ts";
import type { HttpClient } from "./http-client.ts";
import type { DownloadProgressSink } from "./progress.ts";

/** How long the network may keep us waiting. */
export interface NetworkTiming {
  readonly connectTimeoutMs: number;
  /** From the request to the first byte of the answer. */
  readonly answerTimeoutMs: number;
  /** Between two pieces of an answer. */
  readonly stallTimeoutMs: number;
  /** Before the first new attempt after a broken connection; doubles with each that brings nothing. */
  readonly retryDelayMs: number;
}

/** Enough for slow links, yet a start without a network is not held up for long. */
export const DEFAULT_TIMING: NetworkTiming = {
  connectTimeoutMs: 4_000,
  answerTimeoutMs: 15_000,
  stallTimeoutMs: 30_000,
  retryDelayMs: 200,
};

/** What every step of providing a model shares. */
export interface StoreOptions {
  readonly cacheDir: string;
  readonly env: Environment;
  readonly progress: DownloadProgressSink;
  readonly signal: AbortSignal;
  readonly timing: NetworkTiming;
}

export interface StoreContext extends StoreOptions {
  readonly http: HttpClient;
}
