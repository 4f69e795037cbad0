const QUOTE = 34;
const SPACE = 32;
const OPEN_BRACE = 123;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const ZERO = 48;
const NINE = 57;

const key = (name: string): Buffer => Buffer.from(`"${name}":`);

/** Fields of a stream chunk whose non-empty string is text a reader sees; the usual one first. */
const TEXT_KEYS = ["content", "text", "reasoning_content", "reasoning", "arguments", "refusal"].map(key);
const COMPLETION_TOKENS = key("completion_tokens");
const TOKEN_LOGPROBS = key("token_logprobs");
const LOGPROB = key("logprob");
const FINISH_REASON = key("finish_reason");
const ERROR = key("error");
const TIMINGS = key("timings");

/*
 * Why bytes can be searched without parsing: inside a JSON string a quote is always escaped, so the
 * sequence `"content":` (an unescaped quote directly before the colon) occurs only as a real key.
 */

export function isDone(payload: Buffer): boolean {
  return payload[0] === OPEN_BRACKET && payload.toString("latin1", 0, 6) === "[DONE]";
}

/** Whether the chunk carries text: TTFT counts the first of these, not the empty role chunk. */
export function hasText(payload: Buffer): boolean {
  return TEXT_KEYS.some((each) => hasNonEmptyString(payload, each));
}

function hasNonEmptyString(payload: Buffer, keyBytes: Buffer): boolean {
  let position = valueStart(payload, keyBytes, 0);
  while (position !== -1) {
    if (payload[position] === QUOTE && payload[position + 1] !== QUOTE) return true;
    position = valueStart(payload, keyBytes, position);
  }
  return false;
}

/** The running total of `usage.completion_tokens`, or -1 when the chunk has no usage. */
export function completionTokens(payload: Buffer): number {
  return integerAt(payload, valueStart(payload, COMPLETION_TOKENS, 0));
}

/**
 * Tokens listed in the chunk's logprobs, or 0 when it has none. Chat chunks list an object with
 * `logprob` a token, completions a number in `token_logprobs`. The client never asks for alternatives,
 * whose `logprob` keys would be counted too.
 */
export function numTokensInLogprobs(payload: Buffer): number {
  const list = valueStart(payload, TOKEN_LOGPROBS, 0);
  if (list !== -1) return countListItems(payload, list);
  let count = 0;
  let position = valueStart(payload, LOGPROB, 0);
  while (position !== -1) {
    count++;
    position = valueStart(payload, LOGPROB, position);
  }
  return count;
}

function countListItems(payload: Buffer, start: number): number {
  if (payload[start] !== OPEN_BRACKET) return 0;
  const items = payload.toString("latin1", start + 1, payload.indexOf(CLOSE_BRACKET, start)).trim();
  return items === "" ? 0 : items.split(",").length;
}

/** Whether the chunk ends its choice (`finish_reason` is a string). */
export function finishReason(payload: Buffer): string | null {
  const start = valueStart(payload, FINISH_REASON, 0);
  if (start === -1 || payload[start] !== QUOTE) return null;
  return payload.toString("utf8", start + 1, payload.indexOf(QUOTE, start + 1));
}

/** Whether the chunk carries llama-server's timings. */
export function hasTimings(payload: Buffer): boolean {
  return payload.includes(TIMINGS);
}

/** Whether the chunk reports a failure: a top-level `error` that is not null. */
export function hasError(payload: Buffer): boolean {
  const start = valueStart(payload, ERROR, 0);
  return start !== -1 && (payload[start] === OPEN_BRACE || payload[start] === QUOTE);
}

/** Where the value of the next `keyBytes` at or after `from` starts, or -1. */
function valueStart(payload: Buffer, keyBytes: Buffer, from: number): number {
  const found = payload.indexOf(keyBytes, from);
  if (found === -1) return -1;
  let position = found + keyBytes.length;
  while (payload[position] === SPACE) position++;
  return position;
}

function integerAt(payload: Buffer, start: number): number {
  if (start === -1) return -1;
  let value = 0;
  let position = start;
  for (;;) {
    const byte = payload[position] as number;
    if (!(byte >= ZERO && byte <= NINE)) return position === start ? -1 : value;
    value = value * 10 + byte - ZERO;
    position++;
  }
}
