import type { IncomingMessage } from "node:http";

const maxDiscardedBytes = 64 * 1024 * 1024;
const maxDiscardMs = 2000;

/**
 * Reads the rest of a refused request, within bounds. A client that still sends when its connection closes sees a
 * broken pipe and not the answer that explains it.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  if (request.readableEnded || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let leftBytes = maxDiscardedBytes;
    const stop = (): void => {
      clearTimeout(timer);
      request.off("data", count).pause();
      resolve();
    };
    const count = (chunk: Buffer): void => {
      leftBytes -= chunk.length;
      if (leftBytes < 0) stop();
    };
    const timer = setTimeout(stop, maxDiscardMs);
    request.once("end", stop).once("close", stop).on("data", count).resume();
  });
}
