import type { ServerResponse } from "node:http";
import type { OutgoingHttpHeaders } from "node:http";
import type { QueuePlace } from "../../engine/generation.ts";
import type { ApiError } from "../api-error.ts";
import type { StreamBufferLimits } from "../dependencies.ts";
import { errorHeaders } from "../error-mapping.ts";
import { BackPressure } from "./back-pressure.ts";
import type { EventChannel, FlowControl } from "./event-channel.ts";

export interface SseChannelOptions {
  readonly response: ServerResponse;
  /** Headers that belong on every response, such as x-request-id. */
  readonly headers: OutgoingHttpHeaders;
  readonly limits: StreamBufferLimits;
  /** Silence after which a keep-alive comment is sent; 0 for never. */
  readonly pingIntervalMs: number;
  readonly flow: FlowControl;
}

const sseHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
};

/**
 * Server-sent events (WHATWG HTML, section 9.2) on a raw response: all that one step produces for the stream leaves in
 * one write. The status line waits for the first byte of news, so that an error before it is still a plain HTTP error.
 */
export class SseChannel implements EventChannel {
  readonly #options: SseChannelOptions;
  readonly #response: ServerResponse;
  readonly #backPressure: BackPressure;
  #pending = "";
  #isFlushScheduled = false;
  #pingTimer: NodeJS.Timeout | null = null;

  constructor(options: SseChannelOptions) {
    this.#options = options;
    this.#response = options.response;
    this.#backPressure = new BackPressure(options.limits, options.flow);
    this.#response.on("close", () => {
      this.#stopPings();
      this.#backPressure.release();
    });
    // A client that left while its prompt was tokenized closed the response before: nothing would end the pings.
    if (options.pingIntervalMs > 0 && !this.#response.destroyed) {
      this.#pingTimer = setInterval(() => this.#write(":\n\n"), options.pingIntervalMs);
    }
  }

  /** A comment line, which every SSE parser skips. */
  tellPlace({ position, etaMs }: QueuePlace): void {
    this.#write(`: queue position=${position} eta_ms=${etaMs}\n\n`);
  }

  send(chunk: string): void {
    this.#write(`data: ${chunk}\n\n`);
  }

  end(): void {
    this.#stopPings();
    this.#pending += "data: [DONE]\n\n";
    this.#flush();
    this.#response.end();
  }

  fail(error: ApiError): void {
    this.#stopPings();
    const body = JSON.stringify(error.toBody());
    if (this.#response.headersSent || this.#pending !== "") {
      this.#pending += `data: ${body}\n\n`;
      this.end();
      return;
    }
    const headers = { ...errorHeaders(error), "content-type": "application/json; charset=utf-8" };
    this.#response.writeHead(error.status, { ...this.#options.headers, ...headers }).end(body);
  }

  #write(text: string): void {
    this.#pending += text;
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    process.nextTick(this.#flush);
  }

  // An arrow, so that scheduling it makes no closure for each step.
  readonly #flush = (): void => {
    this.#isFlushScheduled = false;
    if (this.#pending === "" || this.#response.writableEnded) return;
    this.#backPressure.noteBuffered(this.#response.writableLength);
    if (this.#response.destroyed) return;
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, { ...this.#options.headers, ...sseHeaders });
    }
    this.#response.write(this.#pending, this.#onWritten);
    this.#pending = "";
    this.#pingTimer?.refresh();
  };

  // Not "drain", which Node emits only above its own limit: the soft limit may be lower.
  readonly #onWritten = (): void => {
    if (this.#response.writableLength === 0) this.#backPressure.release();
  };

  #stopPings(): void {
    if (this.#pingTimer !== null) clearInterval(this.#pingTimer);
    this.#pingTimer = null;
  }
}
