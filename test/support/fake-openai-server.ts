import type { AddressInfo } from "node:net";

import http from "node:http";

/** How the fake behaves; times in ms. */
export interface FakeServerOptions {
  ttftMs: number;
  itlMs: number;
  /** Tokens in one chunk. */
  tokensPerChunk: number;
  /** Which usage it sends: a running total in every chunk, only at the end, or none. */
  usage: "continuous" | "final" | "none";
  /** Tokens a word of the prompt counts for, and what the template adds. */
  tokensPerWord: number;
  overheadTokens: number;
  /** Silence for everyone in [stallAtMs, stallAtMs + stallMs) since the start. */
  stallAtMs: number;
  stallMs: number;
  /** Every n-th request fails: with a status, an error in the stream, or a cut connection. */
  failEvery: number;
  failWith: "status" | "stream" | "cut";
  /** JSON with spaces after colons and commas, as Python servers write it. */
  spaced: boolean;
}

const DEFAULTS: FakeServerOptions = {
  ttftMs: 20,
  itlMs: 5,
  tokensPerChunk: 1,
  usage: "continuous",
  tokensPerWord: 1,
  overheadTokens: 0,
  stallAtMs: Infinity,
  stallMs: 0,
  failEvery: 0,
  failWith: "status",
  spaced: false,
};

interface FakeRequest {
  messages?: { content: string }[];
  prompt?: string;
  input?: string;
  max_tokens?: number;
  logprobs?: boolean | number;
  stream_options?: { continuous_usage_stats?: boolean };
}

export interface SeenRequest {
  path: string;
  key: string | null;
  body: FakeRequest;
}

/**
 * An OpenAI-compatible server whose latencies are known: it streams `max_tokens` numbered words after
 * `ttftMs`, `itlMs` apart. Gaps are timed against an absolute schedule per stream, so that they do not
 * drift.
 */
export class FakeOpenAiServer {
  readonly options: FakeServerOptions;
  readonly seen: SeenRequest[] = [];
  /** What each stream really took here, timers that fired late included: from request to first and last token. */
  readonly took: { firstMs: number; lastMs: number }[] = [];
  numDisconnects = 0;
  readonly #server: http.Server;
  #numRequests = 0;
  #startMs = 0;

  private constructor(options: FakeServerOptions) {
    this.options = options;
    this.#server = http.createServer((request, response) => void this.#handle(request, response));
  }

  static async start(options: Partial<FakeServerOptions> = {}): Promise<FakeOpenAiServer> {
    const fake = new FakeOpenAiServer({ ...DEFAULTS, ...options });
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    fake.#startMs = performance.now();
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = request.url ?? "";
    if (request.method === "GET") return this.#get(path, response);
    const body = JSON.parse(await readBody(request)) as FakeRequest;
    const key = request.headers.authorization?.replace("Bearer ", "") ?? null;
    this.seen.push({ path, key, body });
    this.#numRequests++;
    if (path === "/v1/embeddings") return this.#embed(body, response);
    const fails = this.options.failEvery > 0 && this.#numRequests % this.options.failEvery === 0;
    if (fails && this.options.failWith === "status")
      return sendJson(response, 503, { error: { message: "busy" } });
    this.#stream(path, body, response, fails);
  }

  #get(path: string, response: http.ServerResponse): void {
    if (path === "/v1/models")
      return sendJson(response, 200, { object: "list", data: [{ id: "fake", object: "model" }] });
    if (path === "/health") return sendJson(response, 200, { status: "ok" });
    if (path === "/version") return sendJson(response, 200, { version: "1.2.3" });
    sendJson(response, 404, { error: { message: "not found" } });
  }

  #embed(body: FakeRequest, response: http.ServerResponse): void {
    const usage = { prompt_tokens: this.#promptTokens(body), total_tokens: this.#promptTokens(body) };
    setTimeout(
      () => sendJson(response, 200, { object: "list", data: [{ embedding: [0, 1] }], usage }),
      this.options.ttftMs,
    );
  }

  #promptTokens(body: FakeRequest): number {
    const text = body.messages?.map(({ content }) => content).join(" ") ?? body.prompt ?? body.input ?? "";
    const { tokensPerWord, overheadTokens } = this.options;
    return (
      Math.round(text.split(/\s+/).filter((word) => word !== "").length * tokensPerWord) + overheadTokens
    );
  }

  #stream(path: string, body: FakeRequest, response: http.ServerResponse, fails: boolean): void {
    const { ttftMs, itlMs, tokensPerChunk, failWith } = this.options;
    const chunks = new ChunkWriter(path.includes("chat"), this.#promptTokens(body), this.options, body);
    const total = body.max_tokens ?? 16;
    const startMs = performance.now();
    let numSent = 0;
    let firstMs = 0;
    let timer: NodeJS.Timeout;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "x-request-id": `fake-${this.#numRequests}`,
    });
    response.write(": hello\n\n");
    response.write(chunks.role());
    const step = (): void => {
      if (fails && numSent > 0) {
        if (failWith === "cut") return void response.destroy();
        return void response.end(
          'data: {"error":{"message":"engine died","type":"server_error"}}\n\ndata: [DONE]\n\n',
        );
      }
      const numTokens = Math.min(tokensPerChunk, total - numSent);
      numSent += numTokens;
      response.write(chunks.text(numTokens, numSent));
      const lastMs = performance.now() - startMs;
      if (numSent === numTokens) firstMs = lastMs;
      if (numSent >= total) this.took.push({ firstMs, lastMs });
      if (numSent >= total) return void response.end(chunks.end(numSent));
      schedule(startMs + ttftMs + (numSent / tokensPerChunk) * itlMs);
    };
    const schedule = (dueMs: number): void => {
      timer = setTimeout(step, this.#afterStall(dueMs) - performance.now());
    };
    response.on("close", () => {
      clearTimeout(timer);
      if (!response.writableEnded) this.numDisconnects++;
    });
    schedule(startMs + ttftMs);
  }

  /** Moves a time inside the stall to its end. */
  #afterStall(dueMs: number): number {
    const { stallAtMs, stallMs } = this.options;
    const sinceStartMs = dueMs - this.#startMs;
    return sinceStartMs >= stallAtMs && sinceStartMs < stallAtMs + stallMs
      ? this.#startMs + stallAtMs + stallMs
      : dueMs;
  }
}

class ChunkWriter {
  readonly #isChat: boolean;
  readonly #promptTokens: number;
  readonly #options: FakeServerOptions;
  readonly #continuous: boolean;
  readonly #logprobs: boolean;

  // oxlint-disable-next-line max-params -- the four things a chunk is made of
  constructor(isChat: boolean, promptTokens: number, options: FakeServerOptions, body: FakeRequest) {
    this.#isChat = isChat;
    this.#promptTokens = promptTokens;
    this.#options = options;
    this.#continuous = options.usage === "continuous" && body.stream_options?.continuous_usage_stats === true;
    this.#logprobs = body.logprobs !== undefined && body.logprobs !== false;
  }

  role(): string {
    return this.#isChat
      ? this.#event({ delta: { role: "assistant", content: "" }, finish_reason: null }, 0)
      : "";
  }

  text(numTokens: number, numSent: number): string {
    const words = Array.from({ length: numTokens }, (_, index) => ` word${numSent - numTokens + index}`);
    const text = words.join("");
    const chat = { content: words.map((token) => ({ token, logprob: -0.5, top_logprobs: [] })) };
    const completion = { tokens: words, token_logprobs: words.map(() => -0.5) };
    const logprobs = this.#logprobs ? (this.#isChat ? chat : completion) : null;
    const choice = this.#isChat ? { delta: { content: text } } : { text };
    return this.#event({ ...choice, logprobs, finish_reason: null }, numSent);
  }

  end(numSent: number): string {
    const choice = this.#isChat
      ? { delta: {}, finish_reason: "length" }
      : { text: "", finish_reason: "length" };
    const usage =
      this.#options.usage === "none" ? "" : this.#data({ id: "x", choices: [], usage: this.#usage(numSent) });
    return `${this.#event(choice, numSent)}${usage}data: [DONE]\n\n`;
  }

  #event(choice: object, numSent: number): string {
    const usage = this.#continuous ? this.#usage(numSent) : null;
    return this.#data({ id: "x", object: "chunk", choices: [{ index: 0, ...choice }], usage });
  }

  #usage(numSent: number) {
    return {
      prompt_tokens: this.#promptTokens,
      completion_tokens: numSent,
      total_tokens: this.#promptTokens + numSent,
      prompt_tokens_details: { cached_tokens: 3 },
    };
  }

  #data(value: object): string {
    const json = JSON.stringify(value);
    return `data: ${this.#options.spaced ? json.replaceAll('":', '": ') : json}\n\n`;
  }
}

async function readBody(request: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

function sendJson(response: http.ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
