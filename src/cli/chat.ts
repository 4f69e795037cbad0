import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { ChatError } from "./chat-client.ts";
import { ChatSession, type ChatSessionOptions } from "./chat-session.ts";

export interface Terminal {
  readonly input: Readable;
  readonly output: Writable;
  /** Notices and errors, so that a pipe carries answers only. */
  readonly notices: Writable;
  /** Somebody types, as opposed to a pipe. */
  readonly isInteractive: boolean;
}

/**
 * Talks until the input ends, /exit, or Ctrl-C between answers. Every line of a pipe is one turn.
 * Resolves to the exit code: 1 when a turn of a pipe failed.
 */
export async function chat(options: ChatSessionOptions, terminal: Terminal): Promise<number> {
  const session = new ChatSession(options);
  const lines = createInterface({
    input: terminal.input,
    ...(terminal.isInteractive && { output: terminal.output, prompt: "> " }),
    terminal: terminal.isInteractive,
  });
  const interruption = new Interruption(lines);
  let hasFailed = false;
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text.startsWith("/")) {
      const reply = session.command(text);
      if (reply === null) break;
      terminal.notices.write(`${reply}\n`);
    } else if (text !== "") {
      hasFailed = !(await takeTurn(session.answer(text, interruption.forTurn()), terminal)) || hasFailed;
      interruption.endTurn();
    }
    lines.prompt();
  }
  lines.close();
  if (terminal.isInteractive) terminal.output.write("\n");
  return hasFailed && !terminal.isInteractive ? 1 : 0;
}

/** Resolves to whether the answer arrived without an error. */
async function takeTurn(answer: AsyncGenerator<string>, terminal: Terminal): Promise<boolean> {
  try {
    for await (const delta of answer) terminal.output.write(delta);
    terminal.output.write("\n");
    return true;
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    terminal.notices.write(`error: ${error.message}\n`);
    return false;
  }
}

/** Ctrl-C: stops the answer that is being written; between answers it ends the input. */
class Interruption {
  #turn: AbortController | null = null;

  constructor(lines: Interface) {
    // Readline reports it for a terminal; without one the process gets the signal and ends as usual.
    lines.on("SIGINT", () => {
      if (this.#turn) this.#turn.abort();
      else lines.close();
    });
  }

  forTurn(): AbortSignal {
    this.#turn = new AbortController();
    return this.#turn.signal;
  }

  endTurn(): void {
    this.#turn = null;
  }
}
