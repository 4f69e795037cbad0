import type { ClientRequest, IncomingMessage } from "node:http";

import http from "node:http";
import https from "node:https";

import type { Clock } from "./clock.ts";
import type { LoadClient } from "./load-client.ts";
import type { TargetOptions } from "./load-options.ts";

import { endpointUrl } from "./request-body.ts";
import { RequestError, type RequestRecorder } from "./request-recorder.ts";
import { SseSplitter } from "./sse-splitter.ts";

export interface HttpClientOptions {
  target: TargetOptions;
  clock: Clock;
  slowReadMs: number;
}

const MAX_ERROR_BODY_BYTES = 4096;

/**
 * Streams over node:http with kept-alive connections. Bodies stay Buffers: the splitter and scanner
 * look at bytes, so that one core follows tens of thousands of chunks a second.
 */
export class HttpClient implements LoadClient {
  readonly #options: HttpClientOptions;
  readonly #url: URL;
  readonly #agent: http.Agent;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#url = endpointUrl(options.target);
    const agentOptions = { keepAlive: true, maxSockets: Infinity, maxFreeSockets: 4096 };
    this.#agent =
      this.#url.protocol === "https:" ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
  }

  async send(recorder: RequestRecorder, body: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#exchange(recorder, body, this.#open(recorder, body, { agent: this.#agent, signal }));
    } catch (error) {
      // A kept-alive connection may have been closed by the server at this very moment; that says
      // nothing about the server under load, so such a request is sent again, on a connection of its own:
      // the next one in the pool may be as old.
      if (!(error instanceof StaleConnection)) throw error;
      await this.#exchange(recorder, body, this.#open(recorder, body, { agent: false, signal }));
    }
  }

  warmUp(): Promise<void> {
    const transport = this.#url.protocol === "https:" ? https : http;
    return new Promise((resolve) => {
      const request = transport.get(new URL("/health", this.#url), { agent: this.#agent }, (incoming) => {
        incoming.resume().on("close", resolve);
      });
      // Whether the server answers at all shows in the run.
      request.on("error", () => resolve());
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #exchange(recorder: RequestRecorder, body: string, request: ClientRequest): Promise<void> {
    const { clock } = this.#options;
    const response = responseOf(request);
    recorder.sent(clock.now());
    request.end(body);
    const incoming = await response;
    recorder.headers(clock.now(), incoming.statusCode as number, requestIdOf(incoming));
    if (incoming.statusCode !== 200) throw await statusError(incoming);
    const isStream = incoming.headers["content-type"]?.includes("event-stream") === true;
    await (isStream ? this.#readStream(incoming, recorder) : readBody(incoming, recorder));
  }

  #open(
    recorder: RequestRecorder,
    body: string,
    connection: { readonly agent: http.Agent | false; readonly signal: AbortSignal },
  ): ClientRequest {
    const { target } = this.#options;
    const key = recorder.request.tenant?.key ?? target.key;
    const transport = this.#url.protocol === "https:" ? https : http;
    return transport.request(this.#url, {
      method: "POST",
      ...connection,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        accept: target.api === "embeddings" ? "application/json" : "text/event-stream",
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      },
    });
  }

  #readStream(incoming: IncomingMessage, recorder: RequestRecorder): Promise<void> {
    const { clock, slowReadMs } = this.#options;
    const splitter = new SseSplitter();
    const isSlow = recorder.request.slowReader;
    return new Promise((resolve, reject) => {
      let nowMs = 0;
      const onData = (payload: Buffer): void => recorder.payload(payload, nowMs);
      incoming.on("data", (bytes: Buffer) => {
        nowMs = clock.now();
        try {
          splitter.feed(bytes, onData);
        } catch (error) {
          incoming.destroy(error as Error);
        }
        if (isSlow) pauseFor(incoming, slowReadMs);
      });
      incoming.on("end", resolve);
      incoming.on("error", (error) => reject(connectionError(error)));
    });
  }
}

class StaleConnection extends Error {}

function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", (error: NodeJS.ErrnoException) => {
      reject(
        request.reusedSocket && error.code === "ECONNRESET" ? new StaleConnection() : connectionError(error),
      );
    });
  });
}

async function readBody(incoming: IncomingMessage, recorder: RequestRecorder): Promise<void> {
  const parts: Buffer[] = [];
  try {
    for await (const part of incoming) parts.push(part as Buffer);
  } catch (error) {
    throw connectionError(error as Error);
  }
  recorder.body(Buffer.concat(parts));
}

function pauseFor(incoming: IncomingMessage, pauseMs: number): void {
  incoming.pause();
  setTimeout(() => incoming.resume(), pauseMs);
}

function requestIdOf(incoming: IncomingMessage): string | null {
  const header = incoming.headers["x-request-id"];
  return typeof header === "string" ? header : null;
}

async function statusError(incoming: IncomingMessage): Promise<RequestError> {
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part as Buffer);
  const body = Buffer.concat(parts).toString("utf8", 0, MAX_ERROR_BODY_BYTES);
  return new RequestError(`http_${incoming.statusCode}`, body);
}

const CONNECTION_ERROR_KINDS: Record<string, string> = {
  ECONNREFUSED: "connect",
  ENOTFOUND: "connect",
  EHOSTUNREACH: "connect",
  ECONNRESET: "reset",
  EPIPE: "reset",
};

/** Names a transport failure; an abort keeps its own reason (time-out or cancellation). */
function connectionError(error: NodeJS.ErrnoException): Error {
  if (error instanceof RequestError) return error;
  if (error.name === "AbortError" && error.cause instanceof Error) return error.cause;
  return new RequestError(CONNECTION_ERROR_KINDS[error.code ?? ""] ?? "connection", error.message);
}
