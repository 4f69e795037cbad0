import { WebSocket, type RawData } from "ws";

import type { Clock } from "./clock.ts";
import { RequestError, type RequestRecorder } from "./request-recorder.ts";

export interface Generation {
  recorder: RequestRecorder;
  /** Called once: null when it ended well. */
  settle: (error: Error | null) => void;
  slowReadMs: number | null;
}

interface ControlFrame {
  type: string;
  id?: string | null;
  request_id?: string;
  status?: number;
  error?: { message?: string };
}

/** Every chunk frame begins so: the id follows, then the chunk, which is found without parsing. */
const CHUNK_HEAD = Buffer.from('{"type":"chunk","id":"');
const CHUNK_KEY = Buffer.from('","chunk":');
const DONE = Buffer.from("[DONE]");

/** One socket of Headway's multiplexed protocol (docs/websocket.md) and the generations on it. */
export class WebSocketConnection {
  /** Generations given to this socket and not settled, those that wait for it to open included. */
  numAssigned = 0;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #generations = new Map<string, Generation>();
  readonly #opened: Promise<void>;

  constructor(url: URL, key: string | null, clock: Clock) {
    this.#clock = clock;
    const headers = key === null ? {} : { authorization: `Bearer ${key}` };
    this.#socket = new WebSocket(url, { headers, perMessageDeflate: false });
    this.#socket.binaryType = "nodebuffer";
    this.#socket.on("message", (data) => this.#onFrame(data as Buffer));
    this.#socket.on("close", (code) => this.#fail(new RequestError("reset", `the socket closed (${code})`)));
    this.#opened = new Promise((resolve, reject) => {
      this.#socket.once("open", resolve);
      this.#socket.once("error", (error) => reject(new RequestError("connect", error.message)));
    });
    // Awaited by whoever sends; a socket that fails before that must not end the process.
    this.#opened.catch(() => {});
    this.#socket.on("error", () => {});
  }

  get isUsable(): boolean {
    return this.#socket.readyState === WebSocket.OPEN || this.#socket.readyState === WebSocket.CONNECTING;
  }

  async opened(): Promise<void> {
    await this.#opened;
  }

  /** Sends a start frame; the generation settles later. The body is JSON text. */
  start(id: string, generation: Generation, { endpoint, body }: { endpoint: string; body: string }): void {
    this.#generations.set(id, generation);
    const credits = generation.slowReadMs === null ? "" : '"credits":1,';
    this.#socket.send(`{"type":"start","id":"${id}","endpoint":"${endpoint}",${credits}"body":${body}}`);
  }

  /** Breaks a generation off; frames that still come for it are ignored. */
  cancel(id: string): void {
    if (!this.#generations.delete(id) || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(`{"type":"cancel","id":"${id}"}`);
  }

  close(): void {
    this.#socket.terminate();
  }

  #onFrame(frame: Buffer & RawData): void {
    const nowMs = this.#clock.now();
    if (frame.compare(CHUNK_HEAD, 0, CHUNK_HEAD.length, 0, CHUNK_HEAD.length) === 0)
      this.#onChunk(frame, nowMs);
    else this.#onControl(frame, nowMs);
  }

  #onChunk(frame: Buffer, nowMs: number): void {
    const idEnd = frame.indexOf(CHUNK_KEY, CHUNK_HEAD.length);
    const id = frame.toString("latin1", CHUNK_HEAD.length, idEnd);
    const generation = this.#generations.get(id);
    if (generation === undefined) return;
    try {
      generation.recorder.payload(frame.subarray(idEnd + CHUNK_KEY.length, -1), nowMs);
    } catch (error) {
      this.#settle(id, error as Error);
      return;
    }
    if (generation.slowReadMs !== null) this.#creditLater(id, generation.slowReadMs);
  }

  #creditLater(id: string, delayMs: number): void {
    setTimeout(() => {
      if (!this.#generations.has(id) || this.#socket.readyState !== WebSocket.OPEN) return;
      this.#socket.send(`{"type":"credit","id":"${id}","credits":1}`);
    }, delayMs);
  }

  #onControl(frame: Buffer, nowMs: number): void {
    const control = JSON.parse(frame.toString()) as ControlFrame;
    const id = control.id ?? "";
    const recorder = this.#generations.get(id)?.recorder;
    switch (control.type) {
      case "accepted":
        recorder?.headers(nowMs, 200, control.request_id ?? null);
        break;
      case "usage":
        recorder?.payload(frame, nowMs);
        break;
      case "done":
        recorder?.payload(DONE, nowMs);
        this.#settle(id, null);
        break;
      case "error":
        this.#settle(id, frameError(control));
        break;
      default:
        break;
    }
  }

  #settle(id: string, error: Error | null): void {
    const generation = this.#generations.get(id);
    this.#generations.delete(id);
    generation?.settle(error);
  }

  #fail(error: Error): void {
    for (const id of this.#generations.keys()) this.#settle(id, error);
  }
}

function frameError({ status, error }: ControlFrame): RequestError {
  return new RequestError(`http_${status ?? "error"}`, error?.message ?? "the server refused the frame");
}
