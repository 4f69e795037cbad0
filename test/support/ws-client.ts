import assert from "node:assert/strict";
import { WebSocket } from "ws";
import type { Chunk } from "./sse.ts";
import { until } from "./until.ts";

export interface Frame {
  readonly type: string;
  readonly id?: string | null;
  readonly chunk?: Chunk;
  readonly usage?: { readonly completion_tokens: number };
  readonly status?: number;
  readonly error?: { readonly code: string; readonly param: string | null };
  readonly request_id?: string;
  readonly position?: number;
  readonly eta_ms?: number;
}

/** A client of /v1/ws that keeps what it hears. */
export class WebSocketClient {
  readonly frames: Frame[] = [];
  /** Reads from the network so far: what arrived together counts once. */
  numReads = 0;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("upgrade", (response) => {
      response.socket.on("data", () => (this.numReads += 1));
    });
    socket.on("message", (data) => this.frames.push(JSON.parse((data as Buffer).toString("utf8")) as Frame));
    this.closed = new Promise((resolve) => {
      socket.on("close", (code, reason) => resolve({ code, reason: reason.toString("utf8") }));
    });
  }

  send(frame: object | string): void {
    this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  of(id: string): Frame[] {
    return this.frames.filter((frame) => frame.id === id);
  }

  async until(condition: () => boolean): Promise<void> {
    await until(condition).catch(() => {
      assert.fail(`never came true; heard ${JSON.stringify(this.frames)}`);
    });
  }

  async ended(id: string): Promise<Frame[]> {
    await this.until(() => this.of(id).some(({ type }) => type === "done" || type === "error"));
    return this.of(id);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  get socket(): WebSocket {
    return this.#socket;
  }
}

export async function openWebSocket(
  url: string,
  headers: Record<string, string> = {},
): Promise<WebSocketClient> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/ws`, { headers });
  const client = new WebSocketClient(socket);
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  return client;
}
