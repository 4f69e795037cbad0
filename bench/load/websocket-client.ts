import type { Clock } from "./clock.ts";
import type { LoadClient } from "./load-client.ts";
import type { TargetOptions } from "./load-options.ts";
import type { RequestRecorder } from "./request-recorder.ts";

import { endpointUrl } from "./request-body.ts";
import { WebSocketConnection } from "./websocket-connection.ts";

export interface WebSocketClientOptions {
  target: TargetOptions;
  clock: Clock;
  slowReadMs: number;
}

/** Generations that share a socket: enough to show multiplexing, few enough for the server's limit. */
const MAX_GENERATIONS_PER_SOCKET = 16;

/**
 * Streams chat completions over Headway's WebSocket at `/v1/ws`, many at once on each socket. Sockets
 * belong to a key and are opened when those there are full.
 */
export class WebSocketClient implements LoadClient {
  readonly #options: WebSocketClientOptions;
  readonly #url: URL;
  readonly #connections = new Map<string | null, WebSocketConnection[]>();
  #nextId = 0;

  constructor(options: WebSocketClientOptions) {
    this.#options = options;
    this.#url = endpointUrl(options.target);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
  }

  async send(recorder: RequestRecorder, body: string, signal: AbortSignal): Promise<void> {
    const connection = this.#connection(recorder.request.tenant?.key ?? this.#options.target.key);
    connection.numAssigned++;
    try {
      recorder.sent(this.#options.clock.now());
      await unlessAborted(connection.opened(), signal);
      await this.#generate(connection, { recorder, body, signal });
    } finally {
      connection.numAssigned--;
    }
  }

  #generate(
    connection: WebSocketConnection,
    { recorder, body, signal }: { recorder: RequestRecorder; body: string; signal: AbortSignal },
  ): Promise<void> {
    const id = String(this.#nextId++);
    const slowReadMs = recorder.request.slowReader ? this.#options.slowReadMs : null;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        connection.cancel(id);
        reject(signal.reason as Error);
      };
      const settle = (error: Error | null): void => {
        signal.removeEventListener("abort", abort);
        if (error === null) resolve();
        else reject(error);
      };
      signal.addEventListener("abort", abort, { once: true });
      connection.start(id, { recorder, settle, slowReadMs }, { endpoint: "chat.completions", body });
    });
  }

  async warmUp(): Promise<void> {
    // Whether the server answers at all shows in the run.
    await this.#connection(this.#options.target.key)
      .opened()
      .catch(() => {});
  }

  close(): void {
    for (const connection of [...this.#connections.values()].flat()) connection.close();
  }

  #connection(key: string | null): WebSocketConnection {
    const known = (this.#connections.get(key) ?? []).filter((connection) => connection.isUsable);
    const free = known.find((connection) => connection.numAssigned < MAX_GENERATIONS_PER_SOCKET);
    if (free !== undefined) return free;
    const connection = new WebSocketConnection(this.#url, key, this.#options.clock);
    this.#connections.set(key, [...known, connection]);
    return connection;
  }
}

/** A socket that is long in opening must not hold up a client that gives up. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let giveUp = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason as Error);
    signal.addEventListener("abort", giveUp, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
