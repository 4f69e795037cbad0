import { Type } from "typebox";
import type { Prompt } from "../../engine/generation.ts";
import type { ChatTemplateInput } from "../../text-pool/text-job.ts";
import { invalidValue } from "../api-error.ts";
import type { TextService } from "../dependencies.ts";
import { isRecord } from "../schemas/record.ts";

const MINUTE_MS = 60_000;
const ttlsMs: ReadonlyMap<unknown, number> = new Map([
  ["5m", 5 * MINUTE_MS],
  ["1h", 60 * MINUTE_MS],
]);

/** Anthropic's field: the prompt up to where it stands is worth keeping. */
export const cacheControlSchema = Type.Object(
  {
    type: Type.Enum(["ephemeral"]),
    ttl: Type.Optional(Type.Enum(["5m", "1h"], { default: "5m" })),
  },
  { description: "Keeps the computed prompt cached for that long after its last use." },
);

/** How long to keep how much of a prompt. */
export interface CacheWish {
  readonly ttlMs: number;
  /** The last message to keep; null for the whole prompt. */
  readonly lastMessage: number | null;
}

/** The longest prefix that the body marks: all of it, or up to the last message that is marked or has a marked part. */
export function findCacheWish(body: {
  readonly cache_control?: unknown;
  readonly messages?: readonly unknown[];
}): CacheWish | null {
  if (body.cache_control !== undefined) {
    return { ttlMs: parseTtl(body.cache_control, "cache_control"), lastMessage: null };
  }
  const messages = body.messages ?? [];
  for (let index = messages.length - 1; index >= 0; index -= 1) {
    const ttlMs = markOf(messages[index], `messages[${index}]`);
    if (ttlMs !== null) return { ttlMs, lastMessage: index };
  }
  return null;
}

function markOf(message: unknown, path: string): number | null {
  if (!isRecord(message)) return null;
  const parts = Array.isArray(message["content"]) ? (message["content"] as unknown[]) : [];
  for (const holder of [message, ...parts.toReversed()]) {
    const mark = isRecord(holder) ? (holder["cache_control"] ?? null) : null;
    if (mark !== null) return parseTtl(mark, `${path}.cache_control`);
  }
  return null;
}

function parseTtl(mark: unknown, path: string): number {
  const isKnown = isRecord(mark) && mark["type"] === "ephemeral";
  const ttlMs = isKnown ? ttlsMs.get(mark["ttl"] ?? "5m") : undefined;
  if (ttlMs !== undefined) return ttlMs;
  throw invalidValue(path, `'${path}' must be of type "ephemeral", with a 'ttl' of "5m" or "1h".`);
}

/** A prompt that is kept whole, if it is to be kept. */
export function toKeep(tokenIds: readonly number[], wish: CacheWish | null): Prompt {
  return wish === null ? { tokenIds } : { tokenIds, pin: { numTokens: tokenIds.length, ttlMs: wish.ttlMs } };
}

/** The prompt of a conversation with what is to be kept of it. */
export async function tokenizeToKeep(
  chat: ChatTemplateInput,
  wish: CacheWish | null,
  text: TextService,
): Promise<Prompt> {
  const { tokenIds } = await text.tokenizeChat(chat);
  if (wish === null || wish.lastMessage === null) return toKeep(tokenIds, wish);
  const numTokens = await numTokensUpTo(wish.lastMessage, chat, { tokenIds, text });
  return { tokenIds, pin: { numTokens, ttlMs: wish.ttlMs } };
}

/** Where a message ends in the prompt only its template knows: as far as the conversation so far gives the same tokens. */
async function numTokensUpTo(
  lastMessage: number,
  chat: ChatTemplateInput,
  whole: { readonly tokenIds: readonly number[]; readonly text: TextService },
): Promise<number> {
  const messages = chat.messages.slice(0, lastMessage + 1);
  const head = { ...chat, messages, addGenerationPrompt: false, continueFinalMessage: false };
  // Some templates refuse a conversation that breaks off there; the whole prompt is more than was asked for, not less.
  const part = await whole.text.tokenizeChat(head).catch(() => whole);
  const firstOther = part.tokenIds.findIndex((tokenId, index) => tokenId !== whole.tokenIds[index]);
  return firstOther === -1 ? part.tokenIds.length : firstOther;
}
