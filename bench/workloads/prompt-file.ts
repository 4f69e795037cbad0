import type { ChatMessage, PlannedRequest, Session } from "../load/request.ts";
import type { WorkloadOptions } from "./workload-options.ts";

import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { drawLength } from "./length-distribution.ts";
import { readText } from "./read-lines.ts";

type Prompt = Pick<PlannedRequest, "segments" | "messages"> & { maxTokens: number | null };

/**
 * The user's own prompts, over and over: a text file (a prompt a line), JSONL, or a JSON array. An entry
 * is a string, `{prompt, max_tokens?}`, `{messages, max_tokens?}` or a ShareGPT conversation (its first
 * human turn).
 */
export function* promptFileSessions(options: WorkloadOptions): Generator<Session> {
  if (options.file === null) throw new RangeError("the prompts workload needs --file");
  const prompts = parsePrompts(readText(options.file));
  if (prompts.length === 0) throw new RangeError(`no prompt in ${options.file}`);
  const random = seededRandom(deriveSeed(options.seed, "lengths"));
  for (let index = 0; ; index++) {
    const { segments, messages, maxTokens } = prompts[index % prompts.length] as Prompt;
    const drawn = drawLength(options.outputTokens, random, options.maxOutputTokens);
    const request = {
      segments,
      messages,
      maxTokens: maxTokens ?? drawn,
      label: "all",
      tenant: null,
      schema: options.schema,
    };
    yield { atMs: null, turns: [request], thinkMs: 0 };
  }
}

export function parsePrompts(text: string): Prompt[] {
  const start = text.trimStart();
  if (start.startsWith("[")) return (JSON.parse(text) as unknown[]).map(promptOf);
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (start.startsWith("{") || start.startsWith('"'))
    return lines.map((line, index) => promptOf(JSON.parse(line), index));
  return lines.map((line, index) => promptOf(line, index));
}

interface PromptEntry {
  prompt?: unknown;
  messages?: unknown;
  max_tokens?: unknown;
  conversations?: { from?: string; value?: string }[];
}

function promptOf(entry: unknown, index: number): Prompt {
  if (typeof entry === "string") return { segments: [{ text: entry }], messages: null, maxTokens: null };
  const { prompt, messages, max_tokens: limit, conversations } = (entry ?? {}) as PromptEntry;
  const maxTokens = typeof limit === "number" ? limit : null;
  if (Array.isArray(messages)) return { segments: [], messages: messages as ChatMessage[], maxTokens };
  const text = prompt ?? conversations?.find((turn) => turn.from === "human")?.value;
  if (typeof text === "string") return { segments: [{ text }], messages: null, maxTokens };
  throw new RangeError(`prompt ${index + 1}: needs 'prompt', 'messages' or 'conversations'`);
}
