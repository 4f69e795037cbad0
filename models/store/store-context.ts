import type { Environment } from "./cache-dirs.ts";
import type { HttpClient } from "./http-client.ts";
import type { DownloadProgressSink } from "./progress.ts";

/** What every step of providing a model shares. */
export interface StoreContext {
  readonly cacheDir: string;
  readonly env: Environment;
  readonly http: HttpClient;
  readonly progress: DownloadProgressSink;
  readonly signal: AbortSignal;
  readonly connectTimeoutMs: number;
  /** Before the first new attempt after a broken connection; doubles with each that brings nothing. */
  readonly retryDelayMs: number;
}
