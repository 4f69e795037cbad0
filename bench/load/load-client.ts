import type { RequestRecorder } from "./request-recorder.ts";

/**
 * Sends one request and feeds the recorder. Resolves at the stream's end; rejects with a RequestError
 * (or the abort reason when `signal` fires).
 */
export interface LoadClient {
  send(recorder: RequestRecorder, body: string, signal: AbortSignal): Promise<void>;
  /** Opens a first connection and lets the engine compile the code, so that no measured request pays for it. */
  warmUp(): Promise<void>;
  close(): void;
}
