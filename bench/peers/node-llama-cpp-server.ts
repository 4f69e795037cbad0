/*
 * A plain server over node-llama-cpp's own API, as one would write it with that library: one context with
 * N sequences, a request takes a free one and streams tokens. /v1/completions only.
 *
 *   node node-llama-cpp-server.js PACKAGE_FOLDER MODEL PORT THREADS CONTEXT_PER_SEQUENCE SEQUENCES
 */
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

import Fastify, { type FastifyReply } from "fastify";

import { Semaphore } from "../load/semaphore.ts";

/** The part of node-llama-cpp's types that is used here; the package is not a dependency. */
interface Library {
  getLlama(options: { gpu: false; maxThreads: number; logLevel: string }): Promise<{
    loadModel(options: { modelPath: string }): Promise<Model>;
  }>;
}

interface Model {
  createContext(options: {
    sequences: number;
    contextSize: number;
    threads: number;
  }): Promise<{ getSequence(): Sequence }>;
  tokenize(text: string): number[];
  detokenize(tokens: readonly number[], specialTokens: boolean, lastTokens: readonly number[]): string;
  isEogToken(token: number): boolean;
}

interface Sequence {
  readonly nextTokenIndex: number;
  adaptStateToTokens(tokens: number[], allowShift: boolean): Promise<void>;
  clearHistory(): Promise<void>;
  evaluate(
    tokens: number[],
    options: { temperature: number; yieldEogToken: boolean },
  ): AsyncGenerator<number>;
}

interface CompletionBody {
  prompt: string;
  max_tokens?: number;
  temperature?: number;
  ignore_eos?: boolean;
}

const [folder = "", modelPath = "", port, threads, contextPerSequence, numSequences] = process.argv.slice(2);

const library = (await import(pathToFileURL(join(folder, "dist/index.js")).href)) as Library;
const llama = await library.getLlama({ gpu: false, maxThreads: Number(threads), logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  sequences: Number(numSequences),
  contextSize: Number(contextPerSequence),
  threads: Number(threads),
});
const free = Array.from({ length: Number(numSequences) }, () => context.getSequence());
const places = new Semaphore(free.length);

const app = Fastify({ logger: false });
app.get("/health", () => ({ status: "ok" }));
app.get("/v1/models", () => ({ object: "list", data: [{ id: basename(modelPath), object: "model" }] }));
app.post("/v1/completions", async (request, reply) => {
  reply.hijack();
  await (places.acquire() ?? undefined);
  const sequence = free.pop() as Sequence;
  try {
    await stream(sequence, request.body as CompletionBody, reply);
  } finally {
    free.push(sequence);
    places.release();
  }
});
await app.listen({ host: "127.0.0.1", port: Number(port) });

async function stream(sequence: Sequence, body: CompletionBody, { raw }: FastifyReply): Promise<void> {
  const { max_tokens: maxTokens = 16, temperature = 0, ignore_eos: ignoreEos = false } = body;
  const prompt = model.tokenize(body.prompt);
  await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
  const numCached = sequence.nextTokenIndex;
  const produced: number[] = [];
  let finishReason = "stop";
  raw.writeHead(200, { "content-type": "text/event-stream" });
  const usage = () => ({
    prompt_tokens: prompt.length,
    completion_tokens: produced.length,
    total_tokens: prompt.length + produced.length,
    prompt_tokens_details: { cached_tokens: numCached },
  });
  const options = { temperature, yieldEogToken: ignoreEos };
  for await (const token of sequence.evaluate(prompt.slice(numCached), options)) {
    const text = model.detokenize([token], false, prompt.concat(produced).slice(-8));
    produced.push(token);
    send(raw, { choices: [{ index: 0, text, finish_reason: null }], usage: usage() });
    if (raw.destroyed) break;
    if (produced.length < maxTokens) continue;
    finishReason = "length";
    break;
  }
  send(raw, { choices: [{ index: 0, text: "", finish_reason: finishReason }], usage: null });
  send(raw, { choices: [], usage: usage() });
  raw.end("data: [DONE]\n\n");
}

function send(raw: FastifyReply["raw"], chunk: object): void {
  raw.write(`data: ${JSON.stringify({ id: "cmpl", object: "text_completion", ...chunk })}\n\n`);
}
