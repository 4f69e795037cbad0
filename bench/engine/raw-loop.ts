import type { KvLayout } from "../../scheduler/contracts.ts";
import { Context } from "../../models/llama/context.ts";
import { loadLibrary } from "../../models/llama/library.ts";
import { Model } from "../../models/llama/model.ts";
import { seededRandom } from "../seeded-random.ts";

export interface RawLoopSettings {
  readonly modelPath: string;
  readonly numThreads: number;
  readonly maxNumStreams: number;
  readonly flashAttention: boolean;
  /** As the server chose it. */
  readonly layout: KvLayout;
  /** Cells of the pool: what the server's own memory plan gave. */
  readonly numCells: number;
}

/** As many rows at once, each with a prompt of its own. */
export interface RawLoopBurst {
  readonly numStreams: number;
  readonly promptLength: number;
  readonly outputLength: number;
}

export interface RawLoopResult {
  readonly prefillMs: number;
  readonly decodeMs: number;
}

const MAX_BATCH_TOKENS = 512;
const MAX_NUM_OUTPUTS = 64;

function createLoop(settings: RawLoopSettings): RawLoop {
  const library = loadLibrary({ backend: "cpu", logger: () => {} });
  const model = Model.load(library, { path: settings.modelPath, vocabularyOnly: false, onGpu: false });
  const context = new Context(library, model, {
    layout: settings.layout,
    numCells: settings.numCells,
    numStreams: settings.maxNumStreams,
    maxNumSeqs: settings.maxNumStreams,
    maxNumBatchedTokens: MAX_BATCH_TOKENS,
    maxNumOutputs: MAX_NUM_OUTPUTS,
    numThreads: settings.numThreads,
    flashAttention: settings.flashAttention,
    cacheTypeK: "f16",
    cacheTypeV: "f16",
  });
  const vocabSize = library.llama.llama_vocab_n_tokens(model.vocab);
  const random = seededRandom(1);
  return new RawLoop(context, vocabSize, () => Math.floor(random() * vocabSize));
}

/** The least that generation can cost: llama_decode on full batches and an argmax over each row, nothing else. */
class RawLoop {
  readonly #context: Context;
  readonly #vocabSize: number;
  readonly #drawToken: () => number;

  constructor(context: Context, vocabSize: number, drawToken: () => number) {
    this.#context = context;
    this.#vocabSize = vocabSize;
    this.#drawToken = drawToken;
  }

  run({ numStreams, promptLength, outputLength }: RawLoopBurst): RawLoopResult {
    this.#context.clear();
    const startMs = performance.now();
    const next = Array.from({ length: numStreams }, (_, seqId) => this.#prefill(seqId, promptLength));
    const prefilledMs = performance.now();
    for (let step = 0; step < outputLength - 1; step++) this.#decode(next, promptLength + step);
    return { prefillMs: prefilledMs - startMs, decodeMs: performance.now() - prefilledMs };
  }

  #prefill(seqId: number, promptLength: number): number {
    const { batch } = this.#context;
    for (let position = 0; position < promptLength; position++) {
      batch.add(this.#drawToken(), position, seqId, position === promptLength - 1);
      if (batch.numTokens === MAX_BATCH_TOKENS && position < promptLength - 1) this.#call();
    }
    this.#context.decode();
    const token = this.#argmax(this.#context.logits(), 0);
    batch.clear();
    return token;
  }

  #decode(next: number[], position: number): void {
    const { batch } = this.#context;
    for (const [seqId, token] of next.entries()) batch.add(token, position, seqId, true);
    this.#context.decode();
    const logits = this.#context.logits();
    for (let row = 0; row < next.length; row++) next[row] = this.#argmax(logits, row);
    batch.clear();
  }

  #call(): void {
    this.#context.decode();
    this.#context.batch.clear();
  }

  #argmax(logits: Float32Array, row: number): number {
    const start = row * this.#vocabSize;
    let best = start;
    for (let index = start; index < start + this.#vocabSize; index++) {
      if (logits[index]! > logits[best]!) best = index;
    }
    return best - start;
  }
}

const loop = createLoop(JSON.parse(process.argv[2]!) as RawLoopSettings);
process.on("message", (burst: RawLoopBurst) => process.send!(loop.run(burst)));
