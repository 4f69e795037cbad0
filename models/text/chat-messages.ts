import type { ChatMessage } from "./chat-input.ts";
import { ChatTemplateError } from "./chat-template-error.ts";

const ROLES = new Set(["system", "developer", "user", "assistant", "tool", "function"]);

/** What a template can take; models' templates disagree, and none of them says. */
export interface TemplateDialect {
  /** Arguments of tool calls as an object, or as the JSON text that the API carries. */
  readonly argumentsAsObject: boolean;
  /** Content of a message with tool calls and no text: null, or "". */
  readonly nullContent: boolean;
  /** What the template takes for "no tools": null, as transformers passes, or an empty list. */
  readonly noTools: readonly [] | null;
  /** Whether the template knows the developer role; else it becomes system. */
  readonly hasDeveloperRole: boolean;
  /** Whether the template reads reasoning as `thinking` only. */
  readonly readsThinking: boolean;
}

/** Brings messages into the shape that templates expect. Text is still the client's own afterwards. */
export function toTemplateMessages(
  messages: readonly ChatMessage[],
  dialect: TemplateDialect,
): Record<string, unknown>[] {
  return messages.map((message) => toTemplateMessage(message, dialect));
}

function toTemplateMessage(message: ChatMessage, dialect: TemplateDialect): Record<string, unknown> {
  const fields = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const { tool_calls: toolCalls, ...rest } = Object.fromEntries(fields);
  const hasToolCalls = Array.isArray(toolCalls) && toolCalls.length > 0;
  const content = toText(message.content);
  return {
    ...rest,
    ...reasoningFields(message, dialect),
    role: toTemplateRole(message.role, dialect),
    content: content === "" && hasToolCalls && dialect.nullContent ? null : content,
    ...(hasToolCalls && { tool_calls: toolCalls.map((call) => toTemplateToolCall(call, dialect)) }),
  };
}

function toTemplateRole(role: unknown, dialect: TemplateDialect): string {
  if (typeof role !== "string" || !ROLES.has(role))
    throw new ChatTemplateError("A message has an unknown role.");
  if (role === "developer" && !dialect.hasDeveloperRole) return "system";
  return role;
}

function toText(content: ChatMessage["content"]): string {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  return content.map(partText).join("");
}

function partText(part: unknown): string {
  if (typeof part === "object" && part !== null) {
    if ("text" in part && typeof part.text === "string") return part.text;
    if ("refusal" in part && typeof part.refusal === "string") return part.refusal;
  }
  throw new ChatTemplateError("A message has a content part that is no text.");
}

/** Peers name the field differently, and so do templates. */
function reasoningFields(message: ChatMessage, dialect: TemplateDialect): Record<string, string> {
  const reasoning = message["reasoning_content"] ?? message["reasoning"];
  if (typeof reasoning !== "string" || reasoning === "") return {};
  const fields = { reasoning_content: reasoning, reasoning };
  return dialect.readsThinking ? { ...fields, thinking: reasoning } : fields;
}

function toTemplateToolCall(call: unknown, dialect: TemplateDialect): unknown {
  if (!isRecord(call) || !isRecord(call["function"])) return call;
  const { function: called, ...rest } = call;
  const { arguments: given } = called;
  return { ...rest, function: { ...called, arguments: dialect.argumentsAsObject ? toObject(given) : given } };
}

/** Arguments that are no JSON object stay the text they are: a model wrote them, not the client. */
function toObject(given: unknown): unknown {
  if (typeof given !== "string") return given;
  try {
    const parsed: unknown = JSON.parse(given);
    return isRecord(parsed) ? parsed : given;
  } catch {
    return given;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
