import { Type } from "typebox";
import type { PinRequest } from "../../../scheduler/contracts.ts";
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

/**
 * The prefixes that the body marks, longest first: all of it, or up to a message that is marked or has a marked part.
 * Shorter ones count only where they are to be kept for longer.
 */
export function findCacheWishes(body: {
  readonly cache_control?: unknown;
  readonly messages?: readonly unknown[];
}): CacheWish[] {
  const marked: CacheWish[] = (body.messages ?? []).flatMap((message, index) =>
    ttlsOf(message, `messages[${index}]`).map((ttlMs) => ({ ttlMs, lastMessage: index })),
  );
  if (body.cache_control !== undefined) {
    marked.push({ ttlMs: parseTtl(body.cache_control, "cache_control"), lastMessage: null });
  }
  const wishes: CacheWish[] = [];
  for (const wish of marked.toReversed()) if (wish.ttlMs > (wishes.at(-1)?.ttlMs ?? 0)) wishes.push(wish);
  return wishes;
}

/** Of each mark on a message or on one of its parts. */
function ttlsOf(message: unknown, path: string): number[] {
  if (!isRecord(message)) return [];
  const parts = Array.isArray(message["content"]) ? (message["content"] as unknown[]) : [];
  const marks = [...parts, message].map((holder) =>
    isRecord(holder) ? (holder["cache_control"] ?? null) : null,
  );
  return marks.filter((mark) => mark !== null).map((mark) => parseTtl(mark, `${path}.cache_control`));
}

function parseTtl(mark: unknown, path: string): number {
  const isKnown = isRecord(mark) && mark["type"] === "ephemeral";
  const ttlMs = isKnown ? ttlsMs.get(mark["ttl"] ?? "5m") : undefined;
  if (ttlMs !== undefined) return ttlMs;
  throw invalidValue(path, `'${path}' must be of type "ephemeral", with a 'ttl' of "5m" or "1h".`);
}

/** A prompt that is kept whole, if it is to be kept. */
export function toKeep(tokenIds: readonly number[], wishes: readonly CacheWish[]): Prompt {
  return { tokenIds, pins: wishes.map(({ ttlMs }) => ({ numTokens: tokenIds.length, ttlMs })) };
}

/** The prompt of a conversation with what is to be kept of it. */
export async function tokenizeToKeep(
  chat: ChatTemplateInput,
  wishes: readonly CacheWish[],
  text: TextService,
): Promise<Prompt> {
  const { tokenIds } = await text.tokenizeChat(chat);
  const pins: PinRequest[] = [];
  for (const { ttlMs, lastMessage } of wishes) {
    pins.push({ numTokens: await numTokensUpTo(lastMessage, chat, { tokenIds, text }), ttlMs });
  }
  return { tokenIds, pins };
}

/** Where a message ends in the prompt only its template knows: as far as the conversation so far gives the same tokens. */
async function numTokensUpTo(
  lastMessage: number | null,
  chat: ChatTemplateInput,
  whole: { readonly tokenIds: readonly number[]; readonly text: TextService },
): Promise<number> {
  if (lastMessage === null) return whole.tokenIds.length;
  const messages = chat.messages.slice(0, lastMessage + 1);
  const head = { ...chat, messages, addGenerationPrompt: false, continueFinalMessage: false };
  // Some templates refuse a conversation that breaks off there; the whole prompt is more than was asked for, not less.
  const part = await whole.text.tokenizeChat(head).catch(() => whole);
  const firstOther = part.tokenIds.findIndex((tokenId, index) => tokenId !== whole.tokenIds[index]);
  return firstOther === -1 ? part.tokenIds.length : firstOther;
}
