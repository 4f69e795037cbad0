import type { TextService } from "../../src/server/dependencies.ts";
import type { ChatTemplateInput } from "../../src/text-pool/text-job.ts";

/** What a fake engine says, one token each; one of them is a character of four bytes. */
export const words = [" one", " two", " three", " 😀", " five", " six", " seven"];
export const firstWordId = 256;

const encoder = new TextEncoder();

/** 256 tokens of one byte each, then the words. */
export const fakePieces: readonly Uint8Array[] = [
  ...Array.from({ length: firstWordId }, (_, byte) => Uint8Array.of(byte)),
  ...words.map((word) => encoder.encode(word)),
];

/** A tokenizer whose tokens are bytes, and a template that writes one line per message. */
export class FakeText implements TextService {
  readonly vocabulary = { pieces: fakePieces, addSpacePrefix: false };
  readonly chats: ChatTemplateInput[] = [];
  /** Rejects the next call. */
  failure: Error | null = null;
  /** Resolved before each answer; lets tests hold a request at this stage. */
  gate: Promise<void> = Promise.resolve();
  /** Most texts that were asked for at the same time. */
  maxNumOpen = 0;
  #numOpen = 0;

  async tokenize(text: string): Promise<number[]> {
    this.#numOpen += 1;
    this.maxNumOpen = Math.max(this.maxNumOpen, this.#numOpen);
    await this.gate;
    this.#numOpen -= 1;
    if (this.failure !== null) throw this.failure;
    return [...encoder.encode(text)];
  }

  async tokenizeChat(input: ChatTemplateInput): Promise<{ tokenIds: number[] }> {
    this.chats.push(input);
    const lines = input.messages.map(({ role, content }) => `${role}: ${JSON.stringify(content ?? "")}\n`);
    return { tokenIds: await this.tokenize(lines.join("")) };
  }
}
