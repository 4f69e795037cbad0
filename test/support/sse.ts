import { createParser } from "eventsource-parser";

/** Chunks of a stream as clients get them: untyped JSON. */
export interface Chunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly choices: readonly {
    readonly index: number;
    readonly text?: string;
    readonly delta?: { readonly role?: string; readonly content?: string };
    readonly logprobs: unknown;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Record<string, unknown> | null;
  readonly [field: string]: unknown;
}

/** The data of each event in an event stream; throws on what is no event stream. */
export function parseEvents(text: string): string[] {
  const events: string[] = [];
  const parser = createParser({
    onEvent: (event) => events.push(event.data),
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(text);
  return events;
}

/** The chunks of a stream that must end as OpenAI's do. */
export function parseChunks(text: string): Chunk[] {
  const events = parseEvents(text);
  if (events.pop() !== "[DONE]") throw new Error(`The stream does not end with [DONE]: ${text.slice(-200)}`);
  return events.map((event) => JSON.parse(event) as Chunk);
}

/** Text of each choice, by index. */
export function textsOf(chunks: readonly Chunk[]): string[] {
  const texts: string[] = [];
  for (const { index, text, delta } of chunks.flatMap((chunk) => chunk.choices)) {
    texts[index] = (texts[index] ?? "") + (text ?? delta?.content ?? "");
  }
  return texts;
}
