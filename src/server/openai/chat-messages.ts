import { invalidValue, unsupportedParameter } from "../api-error.ts";
import type { ApiError } from "../api-error.ts";
import type { ChatMessage } from "../../../models/text/chat-input.ts";
import { isRecord } from "../schemas/record.ts";

const maxNumParts = 1000;

const roles: ReadonlySet<unknown> = new Set(["system", "developer", "user", "assistant", "tool", "function"]);

/** Fields of a message that templates read besides role and content. */
const textFields = ["name", "tool_call_id", "reasoning_content", "reasoning", "refusal"] as const;

/** Checks messages and keeps what templates read; templates know how to join parts, so these stay as they are. */
export function parseMessages(messages: readonly unknown[]): ChatMessage[] {
  return messages.map((message, index) => parseMessage(message, `messages[${index}]`));
}

function parseMessage(message: unknown, path: string): ChatMessage {
  if (!isRecord(message)) throw invalidValue(path, `'${path}' must be an object.`);
  const role = message["role"];
  if (typeof role !== "string" || !roles.has(role)) {
    throw invalidValue(`${path}.role`, `'${path}.role' must be one of ${[...roles].join(", ")}.`);
  }
  if ((message["function_call"] ?? null) !== null) throw unsupportedParameter(`${path}.function_call`);
  return {
    role,
    content: parseContent(message["content"], role, `${path}.content`),
    ...parseTextFields(message, path),
    ...parseToolCalls(message["tool_calls"], `${path}.tool_calls`),
  };
}

interface TextPart {
  readonly type: "text";
  readonly text: string;
}

function parseContent(content: unknown, role: string, path: string): string | null | TextPart[] {
  if (typeof content === "string") return content;
  if (content === null || content === undefined) {
    // Only an assistant may have said nothing: it may have called tools instead.
    if (role === "assistant") return null;
    throw invalidValue(path, `'${path}' is required.`);
  }
  if (!Array.isArray(content)) throw invalidValue(path, `'${path}' must be a string or a list of parts.`);
  if (content.length > maxNumParts) {
    throw invalidValue(path, `'${path}' must not hold more than ${maxNumParts} parts.`);
  }
  return content.map((part, index) => ({ type: "text", text: parsePart(part, `${path}[${index}]`) }));
}

function parsePart(part: unknown, path: string): string {
  if (!isRecord(part)) throw invalidValue(path, `'${path}' must be an object.`);
  switch (part["type"]) {
    case "text":
      return requireText(part["text"], `${path}.text`);
    case "refusal":
      return requireText(part["refusal"], `${path}.refusal`);
    case "image_url":
    case "input_audio":
    case "video_url":
    case "file":
      throw unsupportedMedia(path, part["type"]);
    default:
      throw invalidValue(`${path}.type`, `'${path}.type' must be one of text, refusal.`);
  }
}

/** Bytes of text that the messages bring. */
export function textBytes(messages: readonly ChatMessage[]): number {
  let numBytes = 0;
  for (const { content } of messages) {
    if (typeof content === "string") numBytes += Buffer.byteLength(content);
    else for (const part of content ?? []) numBytes += Buffer.byteLength((part as TextPart).text);
  }
  return numBytes;
}

function unsupportedMedia(path: string, type: string): ApiError {
  return unsupportedParameter(path, `'${path}' is of type ${type}; the served model reads text only.`);
}

function parseTextFields(message: Record<string, unknown>, path: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const field of textFields) {
    const value = message[field];
    if (value !== undefined && value !== null) fields[field] = requireText(value, `${path}.${field}`);
  }
  return fields;
}

function parseToolCalls(toolCalls: unknown, path: string): { tool_calls?: unknown[] } {
  if (toolCalls === undefined || toolCalls === null) return {};
  if (!Array.isArray(toolCalls)) throw invalidValue(path, `'${path}' must be a list.`);
  if (toolCalls.length === 0) return {};
  toolCalls.forEach((call: unknown, index) => checkToolCall(call, `${path}[${index}]`));
  return { tool_calls: toolCalls };
}

function checkToolCall(call: unknown, path: string): void {
  if (!isRecord(call)) throw invalidValue(path, `'${path}' must be an object.`);
  const called = call["function"];
  if (!isRecord(called)) throw invalidValue(`${path}.function`, `'${path}.function' must be an object.`);
  requireText(called["name"], `${path}.function.name`);
}

function requireText(value: unknown, path: string): string {
  if (typeof value === "string") return value;
  throw invalidValue(path, `'${path}' must be a string.`);
}
