import type { GenerationSink } from "../../engine/generation.ts";
import type { ApiError } from "../api-error.ts";

/** How far a generation has come, as its client can tell. */
export type GenerationPhase = "queued" | "prefill" | "decode";

/** A sink that can also be told to end by the server itself. */
export interface CompletionSink extends GenerationSink {
  readonly phase: GenerationPhase;
  fail(error: ApiError): void;
}
