import type { ModelInfo } from "../../models/model-info.ts";
import type { Engine, EngineState } from "../engine/generation.ts";
import { ApiError } from "./api-error.ts";

interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** States in which requests are refused. While restarting they wait, since the engine comes back. */
const refusals: Partial<Record<EngineState, Refusal>> = {
  loading: { code: "model_loading", message: "The model is still loading." },
  draining: { code: "shutting_down", message: "The server is shutting down." },
  stopped: { code: "shutting_down", message: "The server is shutting down." },
  failed: { code: "engine_unavailable", message: "The engine has failed." },
};

/** The served model, when requests for it can be taken; throws 503 else. */
export function requireServable(engine: Engine): ModelInfo {
  const refusal = refusals[engine.state];
  if (refusal !== undefined) throw unavailable(refusal);
  if (engine.model === null)
    throw unavailable({ code: "model_loading", message: "The model is still loading." });
  return engine.model;
}

/** Stricter: an answer would also begin soon. For probes, which should send traffic elsewhere otherwise. */
export function requireReady(engine: Engine, stallAfterMs: number): void {
  requireServable(engine);
  if (engine.state === "restarting") {
    throw unavailable({ code: "engine_unavailable", message: "The engine is restarting." });
  }
  if (engine.lastStepAgeMs() > stallAfterMs) {
    throw unavailable({
      code: "engine_unavailable",
      message: "The engine has not finished a step for long.",
    });
  }
}

function unavailable({ code, message }: Refusal): ApiError {
  return new ApiError(message, { status: 503, code, retryAfterMs: 5000 });
}
