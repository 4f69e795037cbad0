import { Type } from "typebox";

const maxInt32 = 2 ** 31 - 1;
/** Integers of 64 bits; the upper end itself is one too many. */
const int64 = { minimum: -(2 ** 63), exclusiveMaximum: 2 ** 63 };
/** A day. */
export const maxDeadlineMs = 86_400_000;

/** Fields that choose tokens; the same on every endpoint that generates. */
export const samplingFields = {
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, default: 1 })),
  top_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1, default: 1 })),
  top_k: Type.Optional(
    Type.Integer({ minimum: -1, maximum: maxInt32, default: 0, description: "0 and -1 mean no limit." }),
  ),
  min_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1, default: 0 })),
  frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  presence_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  repetition_penalty: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100, default: 1 })),
  repeat_penalty: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, maximum: 100, description: "Alias of repetition_penalty." }),
  ),
  logit_bias: Type.Optional(
    Type.Unsafe<Record<string, unknown>>({
      type: "object",
      maxProperties: 1024,
      description: "Token id to bias, -100 to 100.",
    }),
  ),
  seed: Type.Optional(Type.Integer({ ...int64, description: "Folded to 32 bits." })),
};

/** Fields that bound and end the output. */
export const lengthFields = {
  max_tokens: Type.Optional(Type.Integer({ minimum: 0, maximum: maxInt32 })),
  n_predict: Type.Optional(
    Type.Integer({ minimum: -1, maximum: maxInt32, description: "Alias of max_tokens; -1 means unset." }),
  ),
  min_tokens: Type.Optional(Type.Integer({ minimum: 0, maximum: maxInt32, default: 0 })),
  stop: Type.Optional(
    Type.Unsafe<unknown>({
      anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }],
    }),
  ),
  stop_token_ids: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 1024 })),
  include_stop_str_in_output: Type.Optional(Type.Boolean({ default: false })),
  ignore_eos: Type.Optional(Type.Boolean({ default: false })),
  n: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
};

/** Fields about the order of work and what may be shared. */
export const schedulingFields = {
  deterministic: Type.Optional(
    Type.Boolean({ description: "true is refused unless the server runs with --deterministic." }),
  ),
  priority: Type.Optional(Type.Integer({ ...int64, default: 0, description: "Lower runs earlier." })),
  deadline_ms: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: maxDeadlineMs,
      description: "Milliseconds from now until the whole answer is needed; see docs/scheduling.md.",
    }),
  ),
  cache_salt: Type.Optional(
    Type.String({ minLength: 1, maxLength: 256, description: "Cached prefixes are shared inside one salt." }),
  ),
};

/** Fields about the form of the answer. */
export const outputFields = {
  model: Type.Optional(Type.String()),
  stream: Type.Optional(Type.Boolean({ default: false })),
  stream_options: Type.Optional(
    Type.Object({
      include_usage: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
      continuous_usage_stats: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
      include_obfuscation: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    }),
  ),
  stream_interval: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: maxInt32,
      description: "Accepted; a token is always sent as soon as it is there.",
    }),
  ),
  return_progress: Type.Optional(
    Type.Boolean({
      default: false,
      description: "Place in the queue while waiting, then how much of the prompt is computed; for streams.",
    }),
  ),
  timings_per_token: Type.Optional(Type.Boolean({ default: false })),
  sse_ping_interval: Type.Optional(
    Type.Number({ minimum: -1, maximum: 86_400, description: "Seconds between keep-alives; -1 means none." }),
  ),
  return_tokens_as_token_ids: Type.Optional(Type.Boolean({ default: false })),
  user: Type.Optional(Type.String()),
};

export const generationFields = { ...samplingFields, ...lengthFields, ...schedulingFields, ...outputFields };

export type GenerationFields = Type.Static<Type.TObject<typeof generationFields>>;
