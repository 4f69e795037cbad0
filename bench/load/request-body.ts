import type { TargetOptions } from "./load-options.ts";
import type { ChatMessage, ScheduledRequest } from "./request.ts";

const PATHS = {
  chat: "/v1/chat/completions",
  completions: "/v1/completions",
  embeddings: "/v1/embeddings",
  websocket: "/v1/ws",
} as const;

/** The endpoint's address; a base that already ends in `/v1` is accepted, as SDKs expect it. */
export function endpointUrl(target: TargetOptions): URL {
  const base = target.url.replace(/\/+$/, "").replace(/\/v1$/, "");
  return new URL(base + PATHS[target.api]);
}

/** The JSON body of a request; `promptText` is the text made from its segments. */
export function requestBody(target: TargetOptions, request: ScheduledRequest, promptText: string): object {
  if (target.api === "embeddings") return { model: target.model, input: promptText, ...target.extraBody };
  return {
    model: target.model,
    ...prompt(target, request, promptText),
    max_tokens: request.maxTokens,
    stream: true,
    stream_options: streamOptions(target),
    ...(target.temperature === null ? {} : { temperature: target.temperature }),
    ...(target.ignoreEos && request.schema === null ? { ignore_eos: true } : {}),
    ...(target.counting === "logprobs" ? { logprobs: target.api === "completions" ? 0 : true } : {}),
    ...responseFormat(request),
    ...target.extraBody,
  };
}

function prompt(target: TargetOptions, request: ScheduledRequest, promptText: string): object {
  const messages = request.messages ?? [{ role: "user", content: promptText }];
  const all = [...request.history, ...messages];
  if (target.api === "completions")
    return { prompt: all.length === 1 ? (all[0] as ChatMessage).content : transcript(all) };
  return { messages: all };
}

function transcript(messages: readonly ChatMessage[]): string {
  return messages.map((message) => message.content).join("\n");
}

function streamOptions(target: TargetOptions): object {
  return target.counting === "usage"
    ? { include_usage: true, continuous_usage_stats: true }
    : { include_usage: true };
}

function responseFormat({ schema }: ScheduledRequest): object {
  if (schema === null) return {};
  return { response_format: { type: "json_schema", json_schema: { name: "bench", strict: true, schema } } };
}
