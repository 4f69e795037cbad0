import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { GgufError, quote } from "./gguf-error.ts";
import type { GgufFacts } from "./gguf-facts.ts";
import type { ReadReply } from "./read-child.ts";

const READER_PATH = fileURLToPath(new URL("./read-child.js", import.meta.url));
const READER_HEAP_MIB = 256;
const DEFAULT_TIMEOUT_MS = 20_000;

export interface ReadGgufOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Reads what a GGUF model says about itself, in a child process with little memory and little time, so
 * that no hostile file can hurt this one. Throws {@link GgufError} with one sentence that names the file, or the signal's reason.
 */
export async function readGgufFacts(path: string, options: ReadGgufOptions = {}): Promise<GgufFacts> {
  const reply = await askReader(resolve(path), options);
  options.signal?.throwIfAborted();
  if ("facts" in reply) return reply.facts;
  throw new GgufError(reply.code, `cannot use model file ${quote(path)}: ${reply.message}`);
}

function askReader(path: string, options: ReadGgufOptions): Promise<ReadReply> {
  const child = fork(READER_PATH, [], {
    execArgv: [`--max-old-space-size=${READER_HEAP_MIB}`],
    env: {},
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return new Promise<ReadReply>((settle) => {
    const answer = (reply: ReadReply): void => {
      settle(reply);
      stop(child);
    };
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const timer = setTimeout(
      () => answer(refusal("reader-timeout", `reading it took longer than ${timeoutMs} ms`)),
      timeoutMs,
    );
    const abort = (): void => answer(refusal("aborted", "reading it was cancelled"));
    options.signal?.addEventListener("abort", abort, { once: true });
    child.once("message", (reply: ReadReply) => answer(reply));
    child.once("error", (error) => answer(refusal("reader-died", `its reader failed: ${error.message}`)));
    child.once("exit", () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      settle(refusal("reader-died", "its reader ended without an answer"));
    });
    if (options.signal?.aborted) abort();
    else child.send(path);
  });
}

function refusal(code: GgufError["code"], message: string): ReadReply {
  return { code, message };
}

function stop(child: ChildProcess): void {
  if (child.exitCode === null) child.kill("SIGKILL");
}
