/** Requests to stop: the first asks for a drain, the second to stop at once. */
export interface Shutdown {
  readonly requested: AbortSignal;
  readonly forced: AbortSignal;
  readonly whenRequested: Promise<void>;
  readonly whenForced: Promise<void>;
  dispose(): void;
}

/**
 * npm passes a signal on that the terminal has already sent to every process of the group, so Ctrl-C under
 * `npm start` arrives twice. Nobody presses twice within this time.
 */
const echoMs = 300;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `now` is the monotonic clock in milliseconds. */
export function listenForShutdown(now: () => number = () => performance.now()): Shutdown {
  const requested = new AbortController();
  const forced = new AbortController();
  let requestedAtMs = 0;
  const onSignal = (): void => {
    if (!requested.signal.aborted) {
      requestedAtMs = now();
      requested.abort();
    } else if (now() - requestedAtMs > echoMs) {
      forced.abort();
    }
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    requested: requested.signal,
    forced: forced.signal,
    whenRequested: whenAborted(requested.signal),
    whenForced: whenAborted(forced.signal),
    dispose() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
