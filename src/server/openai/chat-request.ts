import { invalidValue, unsupportedParameter } from "../api-error.ts";
import type { ChatTemplateInput } from "../../text-pool/text-job.ts";
import { checkChatCompletionBody } from "../schemas/bodies.ts";
import type { ChatCompletionBody } from "../schemas/bodies.ts";
import { refuseUnsupportedFields } from "../schemas/unsupported-fields.ts";
import { type CacheWish, findCacheWishes } from "./cache-control.ts";
import { parseMessages } from "./chat-messages.ts";
import { checkResponseFormat, parseGenerationOptions } from "./generation-options.ts";
import type { GenerationOptions, ParseContext } from "./generation-options.ts";
import { checkTools } from "./tools.ts";

export interface ChatRequest {
  readonly options: GenerationOptions;
  readonly template: ChatTemplateInput;
  readonly cacheWishes: readonly CacheWish[];
}

/** What a client may hand to a template: switches that models document, and nothing a template could misuse. */
const allowedTemplateKwargs: ReadonlySet<string> = new Set([
  "enable_thinking",
  "thinking",
  "thinking_budget",
  "reasoning_effort",
  "date_string",
  "add_vision_id",
  "custom_tools",
  "builtin_tools",
]);

/** Body of POST /v1/chat/completions. Throws ApiError. */
export function parseChatRequest(json: unknown, context: ParseContext): ChatRequest {
  const body = checkChatCompletionBody(json);
  refuseUnsupportedFields(body);
  checkResponseFormat(body.response_format);
  checkTools(body.tools ?? [], body.tool_choice);
  if (body.echo === true) throw unsupportedParameter("echo");
  if (body.best_of !== undefined && body.best_of !== (body.n ?? 1)) throw unsupportedParameter("best_of");
  const options = parseGenerationOptions(
    body,
    { topLogprobs: parseTopLogprobs(body), promptLogprobs: null },
    context,
  );
  return { options, template: parseTemplateInput(body), cacheWishes: findCacheWishes(body) };
}

type TemplateFields = Pick<
  ChatCompletionBody,
  | "messages"
  | "add_generation_prompt"
  | "continue_final_message"
  | "chat_template_kwargs"
  | "reasoning_effort"
>;

export function parseTemplateInput(body: TemplateFields): ChatTemplateInput {
  const messages = parseMessages(body.messages);
  const continueFinalMessage = body.continue_final_message ?? false;
  if (continueFinalMessage) {
    if (body.add_generation_prompt === true) {
      const message = "'add_generation_prompt' and 'continue_final_message' exclude each other.";
      throw invalidValue("continue_final_message", message);
    }
    const last = messages.at(-1);
    if (last?.role !== "assistant" || last["tool_calls"] !== undefined) {
      const message = "'continue_final_message' needs a last message of the assistant without tool calls.";
      throw invalidValue("continue_final_message", message);
    }
  }
  const chatTemplateKwargs = parseTemplateKwargs(body.chat_template_kwargs ?? {});
  if (body.reasoning_effort !== undefined) chatTemplateKwargs["reasoning_effort"] = body.reasoning_effort;
  const addGenerationPrompt = body.add_generation_prompt ?? !continueFinalMessage;
  return { messages, addGenerationPrompt, continueFinalMessage, chatTemplateKwargs };
}

function parseTopLogprobs(body: ChatCompletionBody): number | null {
  const topLogprobs = body.top_logprobs ?? 0;
  if (body.logprobs === true) return topLogprobs;
  if (topLogprobs > 0) {
    throw invalidValue("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.");
  }
  return null;
}

function parseTemplateKwargs(kwargs: Record<string, unknown>): Record<string, unknown> {
  const allowed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(kwargs)) {
    if (!allowedTemplateKwargs.has(key)) {
      throw unsupportedParameter(
        "chat_template_kwargs",
        `'chat_template_kwargs' may hold ${[...allowedTemplateKwargs].join(", ")}.`,
      );
    }
    allowed[key] = value;
  }
  return allowed;
}
