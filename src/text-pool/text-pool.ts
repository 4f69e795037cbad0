import { createPieceTable, detokenize, type PieceTable } from "../../models/text/detokenizer.ts";
import { OutputAssembler } from "../../models/text/output-assembler.ts";
import { toTextVocabulary, type VocabularyReport } from "../../models/text/text-vocabulary.ts";
import { WorkQueue } from "./work-queue.ts";
import type {
  ChatTemplateInput,
  TextJob,
  TextJobKind,
  TextJobs,
  TextVocabulary,
  TokenizedPrompt,
  TokenizeOptions,
} from "./text-job.ts";
import { TextPoolError } from "./text-pool-error.ts";
import { TextWorker } from "./text-worker.ts";

export interface TextPoolOptions {
  readonly numWorkers: number;
  /** Texts that may wait for a worker; beyond it TextPoolBusyError. */
  readonly maxQueue: number;
  /** Longest text or conversation, as UTF-8 or JSON. */
  readonly maxInputBytes: number;
  readonly tokenizeTimeoutMs: number;
  /** For rendering and tokenizing a conversation. */
  readonly templateTimeoutMs: number;
  readonly startTimeoutMs: number;
  readonly maxHeapMiB: number;
  /** Jinja source to use instead of the model's own. */
  readonly chatTemplate: string | null;
}

export const defaultTextPoolOptions: TextPoolOptions = {
  numWorkers: 1,
  maxQueue: 512,
  maxInputBytes: 8 * 1024 * 1024,
  tokenizeTimeoutMs: 5_000,
  templateTimeoutMs: 5_000,
  startTimeoutMs: 60_000,
  maxHeapMiB: 1024,
  chatTemplate: null,
};

export interface AssemblyOptions {
  readonly stopStrings: readonly string[];
  readonly includeStopString: boolean;
  /** The output goes on with a text, whose last word it may end: a space at its start belongs to it. */
  readonly continuesText: boolean;
}

/**
 * Text to tokens in child processes, tokens to text here: native code and the template engine see the
 * client's input only where it can do no harm to the server.
 */
export class TextPool {
  readonly vocabulary: TextVocabulary;
  /** Why the model's template cannot be read, or null. Every conversation is refused with it. */
  readonly templateProblem: string | null;
  readonly #options: TextPoolOptions;
  readonly #workers: WorkQueue<TextWorker>;
  readonly #pieces: PieceTable;

  private constructor(workers: WorkQueue<TextWorker>, report: VocabularyReport, options: TextPoolOptions) {
    this.#workers = workers;
    this.#options = options;
    this.vocabulary = toTextVocabulary(report);
    this.templateProblem = report.templateProblem;
    this.#pieces = createPieceTable(this.vocabulary);
  }

  /** Starts the workers. Rejects with TextPoolError when the vocabulary or the operator's template cannot be used. */
  static async start(modelPath: string, overrides: Partial<TextPoolOptions> = {}): Promise<TextPool> {
    const options = { ...defaultTextPoolOptions, ...overrides };
    const workers = Array.from(
      { length: options.numWorkers },
      () => new TextWorker({ modelPath, ...options }),
    );
    try {
      const reports = await Promise.all(
        workers.map((worker) =>
          worker.run({ kind: "describe", template: options.chatTemplate }, options.startTimeoutMs),
        ),
      );
      const [report] = reports;
      if (report === undefined) throw new RangeError("A text pool needs a worker.");
      if (options.chatTemplate !== null && report.templateProblem !== null) {
        throw new TextPoolError("vocabulary_unusable", report.templateProblem);
      }
      return new TextPool(new WorkQueue(workers, options.maxQueue), report, options);
    } catch (error) {
      await Promise.all(workers.map((worker) => worker.close()));
      throw error;
    }
  }

  /** Which template conversations are rendered with. */
  get templateSource(): "operator" | "model" | "chatml" {
    if (this.#options.chatTemplate !== null) return "operator";
    return this.vocabulary.chatTemplate === null ? "chatml" : "model";
  }

  /** Rejects with TextPoolError. */
  async tokenize(text: string, options: TokenizeOptions): Promise<number[]> {
    this.#checkSize(Buffer.byteLength(text));
    return this.#run({ kind: "tokenize", text, options }, this.#options.tokenizeTimeoutMs);
  }

  /** Rejects with TextPoolError, or with ChatTemplateError when the template refuses the conversation. */
  async tokenizeChat(chat: ChatTemplateInput, { includeText = false } = {}): Promise<TokenizedPrompt> {
    this.#checkSize(Buffer.byteLength(JSON.stringify(chat)));
    const { chatTemplate, maxInputBytes, templateTimeoutMs } = this.#options;
    return this.#run(
      { kind: "chat", chat, template: chatTemplate, includeText, maxPromptLength: 2 * maxInputBytes },
      templateTimeoutMs,
    );
  }

  /** Number of tokens of a plain text. */
  async countTokens(text: string): Promise<number> {
    const tokenIds = await this.tokenize(text, { addSpecial: false, parseSpecial: false });
    return tokenIds.length;
  }

  /** Control tokens give no text, unfinished characters at the end neither. */
  detokenize(tokenIds: Iterable<number>): string {
    return detokenize(tokenIds, { pieces: this.#pieces, stripLeadingSpace: this.vocabulary.addSpacePrefix });
  }

  createAssembler({ continuesText, ...stops }: AssemblyOptions): OutputAssembler {
    const stripLeadingSpace = this.vocabulary.addSpacePrefix && !continuesText;
    return new OutputAssembler({ pieces: this.#pieces, stripLeadingSpace, ...stops });
  }

  /** Ends every process; texts still waiting are rejected. */
  async close(): Promise<void> {
    const workers = this.#workers.close();
    await Promise.all(workers.map((worker) => worker.close()));
  }

  /** A text whose worker dies is tried once more: the worker may have died of something else. */
  async #run<Kind extends TextJobKind>(
    job: TextJob<Kind>,
    timeoutMs: number,
  ): Promise<TextJobs[Kind]["output"]> {
    const attempt = (): Promise<TextJobs[Kind]["output"]> =>
      this.#workers.run((worker) => worker.run(job, timeoutMs));
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TextPoolError) || error.code !== "worker_crashed") throw error;
      return attempt();
    }
  }

  #checkSize(sizeBytes: number): void {
    if (sizeBytes <= this.#options.maxInputBytes) return;
    throw new TextPoolError(
      "input_too_large",
      `The text has ${sizeBytes} bytes; the limit is ${this.#options.maxInputBytes}.`,
    );
  }
}
