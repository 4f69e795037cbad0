import type { ServerMetrics } from "../../telemetry/server-metrics.ts";
import type { FlowControl } from "./event-channel.ts";

/** What a slow reader's stream acts on. */
export interface StreamedCall {
  pause(): void;
  resume(): void;
  finish(): void;
}

/** Flow control of one call on a connection of its own. */
export function streamFlow(
  call: StreamedCall,
  connection: { destroy(): unknown },
  metrics: ServerMetrics,
): FlowControl {
  return {
    pause() {
      metrics.onStreamPaused();
      call.pause();
    },
    resume() {
      metrics.onStreamResumed();
      call.resume();
    },
    cut() {
      metrics.onStreamCut();
      call.finish();
      connection.destroy();
    },
  };
}
