import { Type } from "typebox";
import { cacheControlSchema } from "../openai/cache-control.ts";
import { compileBodyCheck } from "./body-check.ts";
import { generationFields } from "./generation-fields.ts";

/** Shapes of request bodies: what Ajv checks, what TypeScript knows and what the OpenAPI document shows. */
export const chatCompletionSchema = Type.Object({
  messages: Type.Array(Type.Unknown(), { minItems: 1, maxItems: 10_000 }),
  max_completion_tokens: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
  ...generationFields,
  cache_control: Type.Optional(cacheControlSchema),
  logprobs: Type.Optional(Type.Boolean({ default: false })),
  top_logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: 20 })),
  echo: Type.Optional(Type.Boolean()),
  best_of: Type.Optional(Type.Integer({ minimum: 1 })),
  add_generation_prompt: Type.Optional(Type.Boolean({ default: true })),
  continue_final_message: Type.Optional(Type.Boolean({ default: false })),
  chat_template_kwargs: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  reasoning_effort: Type.Optional(Type.Enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
  response_format: Type.Optional(Type.Object({ type: Type.Optional(Type.Unknown()) })),
  tools: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 128 })),
  tool_choice: Type.Optional(Type.Unknown()),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
});

export const completionSchema = Type.Object({
  prompt: Type.Unsafe<unknown>({
    anyOf: [{ type: "string" }, { type: "array", items: {} }],
  }),
  ...generationFields,
  cache_control: Type.Optional(cacheControlSchema),
  logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: 20 })),
  echo: Type.Optional(Type.Boolean({ default: false })),
  best_of: Type.Optional(Type.Integer({ minimum: 1 })),
  add_special_tokens: Type.Optional(Type.Boolean({ default: true })),
  response_format: Type.Optional(Type.Object({ type: Type.Optional(Type.Unknown()) })),
});

/** Both shapes in use: `prompt` or `messages`, and `content`. */
export const tokenizeSchema = Type.Object({
  model: Type.Optional(Type.String()),
  prompt: Type.Optional(Type.String()),
  content: Type.Optional(Type.String()),
  messages: Type.Optional(Type.Array(Type.Unknown(), { minItems: 1, maxItems: 10_000 })),
  add_special_tokens: Type.Optional(Type.Boolean()),
  add_special: Type.Optional(Type.Boolean()),
  parse_special: Type.Optional(Type.Boolean()),
  with_pieces: Type.Optional(Type.Boolean()),
  return_token_strs: Type.Optional(Type.Boolean()),
  add_generation_prompt: Type.Optional(Type.Boolean()),
  continue_final_message: Type.Optional(Type.Boolean()),
  chat_template_kwargs: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});

export const detokenizeSchema = Type.Object({
  model: Type.Optional(Type.String()),
  tokens: Type.Array(Type.Integer(), { maxItems: 1_000_000 }),
});

export const abortSchema = Type.Object({
  request_ids: Type.Array(Type.String(), { maxItems: 10_000 }),
});

export type ChatCompletionBody = Type.Static<typeof chatCompletionSchema>;
export type CompletionBody = Type.Static<typeof completionSchema>;
export type TokenizeBody = Type.Static<typeof tokenizeSchema>;

export const checkChatCompletionBody = compileBodyCheck(chatCompletionSchema);
export const checkCompletionBody = compileBodyCheck(completionSchema);
export const checkTokenizeBody = compileBodyCheck(tokenizeSchema);
export const checkDetokenizeBody = compileBodyCheck(detokenizeSchema);
export const checkAbortBody = compileBodyCheck(abortSchema);
