import type { ServerResponse } from "node:http";
import type { DisconnectPhase, ServerMetrics } from "../../telemetry/server-metrics.ts";

/** What is done for a client. */
export interface WatchedCall {
  readonly isFinished: boolean;
  readonly phase: DisconnectPhase;
  finish(): void;
}

/** Ends the call as soon as its client is gone, in whatever state it is. */
export function watchDisconnect(response: ServerResponse, call: WatchedCall, metrics: ServerMetrics): void {
  response.on("close", () => {
    if (call.isFinished) return;
    metrics.onDisconnect(call.phase);
    call.finish();
  });
}
