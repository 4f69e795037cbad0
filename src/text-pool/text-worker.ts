import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { ChatTemplateError } from "../../models/text/chat-template-error.ts";
import type { TextJob, TextJobFailure, TextJobKind, TextJobResult, TextJobs } from "./text-job.ts";
import { closedError, TextPoolError } from "./text-pool-error.ts";

export interface TextWorkerOptions {
  readonly modelPath: string;
  /** Longest time to start the process and load the vocabulary. */
  readonly startTimeoutMs: number;
  /** Of JavaScript objects; the vocabulary itself is outside. */
  readonly maxHeapMiB: number;
}

/**
 * One child process that runs one job at a time. A job that takes too long, or kills the process, fails
 * alone; the process is replaced and made ready before the next job, whose time limit does not pay for it.
 */
export class TextWorker {
  readonly #options: TextWorkerOptions;
  /** Started by the first job that finds none. */
  #pool: Tinypool | null = null;
  #isReady = false;
  #isClosed = false;

  constructor(options: TextWorkerOptions) {
    this.#options = options;
  }

  /** Rejects with TextPoolError or, for chats, with ChatTemplateError. */
  async run<Kind extends TextJobKind>(
    job: TextJob<Kind>,
    timeoutMs: number,
  ): Promise<TextJobs[Kind]["output"]> {
    if (!this.#isReady) await this.#makeReady();
    const result = await this.#runWithin(job, timeoutMs);
    if ("failure" in result) throw toError(result.failure);
    return result.output;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pool?.destroy();
  }

  #startPool(): Tinypool {
    const { modelPath, maxHeapMiB } = this.#options;
    const pool = new Tinypool({
      runtime: "child_process",
      filename: fileURLToPath(new URL("./worker.js", import.meta.url)),
      name: "runTextJob",
      minThreads: 1,
      maxThreads: 1,
      argv: [modelPath],
      execArgv: [`--max-old-space-size=${maxHeapMiB}`, "--v8-pool-size=1"],
      env: { UV_THREADPOOL_SIZE: "1" },
      serialization: "json",
    });
    // A process died that had no job to report it to: idle or, where tinypool gives the pool up for good, starting.
    pool.on("error", () => this.#discard(pool));
    return pool;
  }

  #discard(pool: Tinypool): void {
    if (this.#pool !== pool || this.#isClosed) return;
    this.#pool = null;
    this.#isReady = false;
    // Rejects what waits in it.
    pool.destroy().catch(() => undefined);
  }

  async #makeReady(): Promise<void> {
    const options = { addSpecial: false, parseSpecial: false };
    const job: TextJob<"tokenize"> = { kind: "tokenize", text: "", options };
    await this.#runWithin(job, this.#options.startTimeoutMs);
    this.#isReady = true;
  }

  async #runWithin(job: { readonly kind: TextJobKind }, timeoutMs: number): Promise<TextJobResult> {
    // A closed pool would start a process again, for a job as well as after an abort.
    if (this.#isClosed) throw closedError();
    const controller = new AbortController();
    const timer = setTimeout(() => this.#isClosed || controller.abort(), timeoutMs);
    try {
      this.#pool ??= this.#startPool();
      return (await this.#pool.run(job, { signal: controller.signal })) as TextJobResult;
    } catch {
      this.#isReady = false;
      if (this.#isClosed) throw closedError();
      throw controller.signal.aborted ? timeoutError(job.kind, timeoutMs) : crashError();
    } finally {
      clearTimeout(timer);
    }
  }
}

function timeoutError(kind: TextJobKind, timeoutMs: number): TextPoolError {
  return kind === "chat"
    ? new TextPoolError("template_timeout", `The chat template took longer than ${timeoutMs} ms.`)
    : new TextPoolError("tokenize_timeout", `Tokenizing took longer than ${timeoutMs} ms.`);
}

function crashError(): TextPoolError {
  return new TextPoolError("worker_crashed", "The process that turns text into tokens died of this text.");
}

function toError({ name, message, param }: TextJobFailure): Error {
  if (name === "ChatTemplateError") return new ChatTemplateError(message, param);
  return new TextPoolError("vocabulary_unusable", message);
}
