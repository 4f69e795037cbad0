import { Type } from "typebox";

/** Shapes of answers, for the OpenAPI document only: answers are written by the formats, not by these. */

const nullable = <Schema extends Type.TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);

export const errorSchema = Type.Object(
  {
    error: Type.Object({
      message: Type.String(),
      type: Type.String(),
      param: nullable(Type.String({ description: "The request's field at fault." })),
      code: nullable(Type.String()),
    }),
  },
  { description: "The request was refused or failed." },
);

const usage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
  completion_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
});

const answerFields = {
  id: Type.String(),
  created: Type.Integer({ description: "Unix time in seconds." }),
  model: Type.String(),
  system_fingerprint: Type.String(),
  usage,
  timings: Type.Record(Type.String(), Type.Number(), { description: "llama-server's timings." }),
};

const choiceFields = {
  index: Type.Integer(),
  finish_reason: Type.Enum(["stop", "length"]),
  stop_reason: nullable(Type.Union([Type.String(), Type.Integer()])),
  logprobs: nullable(Type.Object({})),
};

const streamed = "With `stream`: chunks as server-sent events, the last of them `[DONE]`.";

export const chatCompletionAnswer = Type.Object(
  {
    ...answerFields,
    object: Type.Literal("chat.completion"),
    choices: Type.Array(
      Type.Object({
        ...choiceFields,
        message: Type.Object({
          role: Type.Literal("assistant"),
          content: nullable(Type.String()),
          refusal: Type.Null(),
        }),
      }),
    ),
  },
  { description: streamed },
);

export const completionAnswer = Type.Object(
  {
    ...answerFields,
    object: Type.Literal("text_completion"),
    choices: Type.Array(Type.Object({ ...choiceFields, text: Type.String() })),
  },
  { description: streamed },
);
