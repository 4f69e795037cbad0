import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import { ApiError } from "../api-error.ts";
import type { Caller, CompletionCall } from "../completion-call.ts";
import { BackPressure } from "../delivery/back-pressure.ts";
import { chunkStream } from "../delivery/chunk-stream.ts";
import { toApiError } from "../error-mapping.ts";
import { parseJsonBody } from "../http/json-body.ts";
import { chatEndpoint } from "../openai/chat-endpoint.ts";
import { textEndpoint } from "../openai/text-endpoint.ts";
import type { ServerContext } from "../server-context.ts";
import { WebSocketChannel } from "./channel.ts";
import { errorFrame, parseClientFrame, startIdOf } from "./frames.ts";
import type { CancelFrame, CreditFrame, ServerFrame, StartFrame } from "./frames.ts";

export interface WebSocketConnectionOptions {
  readonly socket: WebSocket;
  /** What the WebSocket travels on. */
  readonly transport: Socket;
  readonly context: ServerContext;
  /** Whoever opened the socket; its request id names the generations together with their own ids. */
  readonly caller: Caller;
}

/** One socket and the generations that stream over it, by the client's ids. */
export class WebSocketConnection {
  readonly #socket: WebSocket;
  readonly #transport: Socket;
  readonly #context: ServerContext;
  readonly #caller: Caller;
  readonly #channels = new Map<string, WebSocketChannel>();
  readonly #backPressure: BackPressure;
  #isSocketFull = false;
  #isCorked = false;

  constructor({ socket, transport, context, caller }: WebSocketConnectionOptions) {
    this.#socket = socket;
    this.#transport = transport;
    this.#context = context;
    this.#caller = caller;
    const metrics = context.dependencies.telemetry.server;
    this.#backPressure = new BackPressure(context.dependencies.config.streamBuffer, {
      pause: () => this.#setSocketFull(true),
      resume: () => this.#setSocketFull(false),
      cut: () => {
        for (const channel of this.#channels.values()) if (!channel.isClosed) metrics.onStreamCut();
        socket.terminate();
      },
    });
  }

  /** Takes one message. A bad one is answered with an error frame and harms nothing else. */
  onMessage(data: RawData, isBinary: boolean): void {
    let json: unknown = null;
    try {
      if (isBinary) throw new ApiError("Frames must be text.", { status: 400, code: "invalid_json" });
      json = parseJsonBody(data as Buffer);
      const frame = parseClientFrame(json);
      if (frame.type === "start") void this.#start(frame);
      else if (frame.type === "cancel") this.#cancel(frame);
      else if (frame.type === "credit") this.#addCredits(frame);
      else this.#send({ type: "pong" });
    } catch (error) {
      this.#send(errorFrame(this.#refusedStart(json), toApiError(error)));
    }
  }

  /** The id of the generation that a bad frame was to start; it is over before it began. */
  #refusedStart(json: unknown): string | null {
    const id = startIdOf(json);
    return id !== null && this.#channels.has(id) ? null : id;
  }

  /** The socket is gone: ends every generation. */
  close(): void {
    this.#backPressure.release();
    const { server } = this.#context.dependencies.telemetry;
    for (const channel of this.#channels.values()) {
      server.onDisconnect(channel.call.phase);
      channel.close();
    }
    this.#channels.clear();
  }

  async #start(frame: StartFrame): Promise<void> {
    const channel = this.#open(frame);
    if (channel === null) return;
    const { call } = channel;
    try {
      const prepared = await call.prepare();
      // Cancelled or closed while its prompt was tokenized: that has been answered.
      if (channel.isClosed) return;
      call.run(prepared.request, chunkStream(call, prepared, channel));
      channel.setSocketFull(this.#isSocketFull);
    } catch (error) {
      if (!channel.isClosed) channel.fail(toApiError(error));
      call.finish();
    }
  }

  /** Admits the generation, or answers with an error frame and returns null. */
  #open(frame: StartFrame): WebSocketChannel | null {
    const { id } = frame;
    try {
      const call = this.#openCall(frame);
      const channel = new WebSocketChannel({
        id,
        call,
        credits: frame.credits ?? null,
        maxPausedMs: this.#context.dependencies.config.streamBuffer.maxPausedMs,
        metrics: this.#context.dependencies.telemetry.server,
        send: (text) => this.#sendText(text),
        onClosed: () => this.#channels.delete(id),
      });
      this.#channels.set(id, channel);
      this.#send({ type: "accepted", id, request_id: call.id });
      return channel;
    } catch (error) {
      // The id of a running generation must not be answered with: that would end it for the client.
      this.#send(errorFrame(this.#channels.has(id) ? null : id, toApiError(error)));
      return null;
    }
  }

  #openCall({ id, endpoint, body }: StartFrame): CompletionCall {
    const { maxGenerations } = this.#context.dependencies.config.webSocket;
    if (this.#channels.has(id)) throw duplicateId(id);
    if (this.#channels.size >= maxGenerations) throw tooManyGenerations(maxGenerations);
    const caller = { ...this.#caller, requestId: `${this.#caller.requestId}/${id}` };
    const dialect = endpoint === "completions" ? textEndpoint : chatEndpoint;
    return this.#context.completions.open(dialect, { ...body, stream: true }, caller);
  }

  #cancel({ id }: CancelFrame): void {
    this.#requireChannel(id).close();
    this.#channels.delete(id);
    this.#send({ type: "cancelled", id });
  }

  #addCredits({ id, credits }: CreditFrame): void {
    // The generation may have ended while its credits were on the way.
    this.#channels.get(id)?.addCredits(credits);
  }

  #requireChannel(id: string): WebSocketChannel {
    const channel = this.#channels.get(id);
    if (channel !== undefined) return channel;
    throw new ApiError("No generation of this id is running.", {
      status: 404,
      code: "unknown_id",
      param: "id",
    });
  }

  #setSocketFull(isFull: boolean): void {
    this.#isSocketFull = isFull;
    for (const channel of this.#channels.values()) channel.setSocketFull(isFull);
  }

  #send(frame: ServerFrame): void {
    this.#sendText(JSON.stringify(frame));
  }

  #sendText(text: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#cork();
    this.#socket.send(text, this.#onWritten);
  }

  /** Lets all frames of one step leave in one write. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#backPressure.noteBuffered(this.#socket.bufferedAmount);
    this.#transport.cork();
    process.nextTick(this.#uncork);
  }

  readonly #uncork = (): void => {
    this.#isCorked = false;
    this.#transport.uncork();
  };

  readonly #onWritten = (): void => {
    if (this.#socket.bufferedAmount === 0) this.#backPressure.release();
  };
}

function duplicateId(id: string): ApiError {
  const message = `A generation of id '${id}' is running on this socket.`;
  return new ApiError(message, { status: 400, code: "duplicate_id", param: "id" });
}

function tooManyGenerations(maxGenerations: number): ApiError {
  const message = `A socket may run ${maxGenerations} generations at a time.`;
  return new ApiError(message, { status: 429, code: "too_many_generations", retryAfterMs: 1000 });
}
