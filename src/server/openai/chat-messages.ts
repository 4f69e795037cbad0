import { invalidValue, unsupportedParameter } from "../api-error.ts";
import type { ApiError } from "../api-error.ts";
import type { ChatMessage } from "../dependencies.ts";
import { isRecord } from "../schemas/record.ts";

const maxNumParts = 1000;

/** Roles of the wire, and what templates call them. */
const templateRoles: Readonly<Record<string, string>> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  function: "tool",
};

/** Fields of a message that templates read besides role and content. */
const textFields = ["name", "tool_call_id", "reasoning_content", "reasoning", "refusal"] as const;

export function parseMessages(messages: readonly unknown[]): ChatMessage[] {
  return messages.map((message, index) => parseMessage(message, `messages[${index}]`));
}

function parseMessage(message: unknown, path: string): ChatMessage {
  if (!isRecord(message)) throw invalidValue(path, `'${path}' must be an object.`);
  const wireRole = message["role"];
  if (typeof wireRole !== "string" || !Object.hasOwn(templateRoles, wireRole)) {
    const roles = Object.keys(templateRoles).join(", ");
    throw invalidValue(`${path}.role`, `'${path}.role' must be one of ${roles}.`);
  }
  const content = parseContent(message["content"], wireRole, `${path}.content`);
  return {
    role: templateRoles[wireRole] ?? wireRole,
    content,
    ...parseTextFields(message, path),
    ...parseToolCalls(message["tool_calls"], `${path}.tool_calls`),
  };
}

function parseContent(content: unknown, role: string, path: string): string | null {
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
  return content.map((part, index) => parsePart(part, `${path}[${index}]`)).join("\n");
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
