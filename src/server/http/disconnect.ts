import type { ServerResponse } from "node:http";
import type { ServerMetrics } from "../../telemetry/server-metrics.ts";
import type { CompletionCall } from "../completion-call.ts";

/** Ends the call as soon as its client is gone, in whatever state it is. */
export function watchDisconnect(
  response: ServerResponse,
  call: CompletionCall,
  metrics: ServerMetrics,
): void {
  response.on("close", () => {
    if (call.isFinished) return;
    metrics.onDisconnect(call.phase);
    call.finish();
  });
}
