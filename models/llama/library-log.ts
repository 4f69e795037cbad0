import koffi from "koffi";
import type { Pointer } from "./abi.ts";
import { LogCallback, LogLevel } from "./abi.ts";

export type LibraryLogLevel = "debug" | "info" | "warn" | "error";
export type LibraryLogger = (level: LibraryLogLevel, message: string) => void;

const MAX_LINE_LENGTH = 2000;

/** Lines quote texts of the model file, which must not drive a terminal. */
const CONTROLS = /[^\P{Cc}\t]|[\u2028-\u202e]/gu;

/** In the paged layout the "context" is the pool of all sequences, whose size has nothing to do with the training's. */
const IRRELEVANT = /n_ctx_seq \(\d+\) [<>] n_ctx_train/;

/**
 * Turns the library's log calls into whole lines. What llama.cpp calls "info" is detail to a server's operator,
 * so it becomes "debug". Recent warnings and errors are kept: they say why a load failed.
 *
 * The callback runs on the thread that made the foreign call, which is ours: calls are synchronous, and ggml's
 * compute threads do not log. koffi would queue a call from another thread to the event loop.
 */
export class LibraryLog {
  readonly callback: Pointer;
  logger: LibraryLogger;
  #level: LibraryLogLevel = "debug";
  #line = "";
  #complaints: string[] = [];

  constructor(logger: LibraryLogger) {
    this.logger = logger;
    this.callback = koffi.register((level: number, text: Pointer | null) => {
      if (text !== null) this.#write(level, koffi.decode.string(text));
    }, koffi.pointer(LogCallback));
  }

  /** Warnings and errors since the last call, oldest first. */
  takeComplaints(): readonly string[] {
    const complaints = this.#complaints;
    this.#complaints = [];
    return complaints;
  }

  #write(level: number, text: string): void {
    if (level !== LogLevel.continued) {
      this.#flush();
      this.#level = levelName(level);
    }
    const lines = (this.#line + text).split("\n");
    this.#line = (lines.pop() ?? "").slice(0, MAX_LINE_LENGTH);
    for (const line of lines) this.#emit(line);
  }

  #flush(): void {
    if (this.#line !== "") this.#emit(this.#line);
    this.#line = "";
  }

  #emit(line: string): void {
    const message = line.trimEnd().slice(0, MAX_LINE_LENGTH).replaceAll(CONTROLS, "\ufffd");
    if (message === "") return;
    const level = IRRELEVANT.test(message) ? "debug" : this.#level;
    if (level === "warn" || level === "error") this.#complaints.push(message);
    this.logger(level, message);
  }
}

function levelName(level: number): LibraryLogLevel {
  if (level === LogLevel.warn) return "warn";
  return level === LogLevel.error ? "error" : "debug";
}
