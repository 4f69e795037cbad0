import { type ChatMessage, type ChatSampling, type ChatServer, streamAnswer } from "./chat-client.ts";

export interface ChatSessionOptions {
  readonly server: ChatServer;
  readonly model: string;
  readonly system: string | null;
  readonly sampling: ChatSampling;
}

const help = `  /system TEXT   speak to the model as the system and start anew; without TEXT: no system message
  /reset         forget the conversation
  /exit          leave (as does Ctrl-D)
  Ctrl-C         stop the current answer; between answers: leave`;

/** One conversation: everything said so far, and the commands that change it. */
export class ChatSession {
  readonly #options: ChatSessionOptions;
  #system: string | null;
  #turns: ChatMessage[] = [];

  constructor(options: ChatSessionOptions) {
    this.#options = options;
    this.#system = options.system;
  }

  /** What a line that begins with a slash has to say; null means the user wants to leave. */
  command(line: string): string | null {
    const [name, ...words] = line.split(" ");
    switch (name) {
      case "/help":
        return help;
      case "/reset":
        this.#turns = [];
        return "  The conversation starts anew.";
      case "/system":
        this.#system = words.join(" ").trim() || null;
        this.#turns = [];
        return this.#system ? "  The model has a new system message." : "  No system message.";
      case "/exit":
        return null;
      default:
        return `  There is no command ${name}; /help lists them.`;
    }
  }

  /**
   * Yields the answer to what the user says. An answer that is stopped counts as said; after an error both the
   * question and what came of its answer are forgotten, so that it can be asked again.
   */
  async *answer(text: string, signal: AbortSignal): AsyncGenerator<string> {
    const { server, model, sampling } = this.#options;
    const question: ChatMessage = { role: "user", content: text };
    const system: ChatMessage[] = this.#system ? [{ role: "system", content: this.#system }] : [];
    const messages = [...system, ...this.#turns, question];
    let answer = "";
    for await (const delta of streamAnswer(server, { model, messages, ...sampling }, signal)) {
      answer += delta;
      yield delta;
    }
    this.#turns.push(question, { role: "assistant", content: answer });
  }
}
