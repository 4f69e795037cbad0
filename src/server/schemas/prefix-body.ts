import { Type } from "typebox";
import { compileBodyCheck } from "./body-check.ts";

const WEEK_SECONDS = 7 * 24 * 3600;

export const prefixSchema = Type.Object({
  model: Type.Optional(Type.String()),
  messages: Type.Optional(Type.Array(Type.Unknown(), { minItems: 1, maxItems: 10_000 })),
  prompt: Type.Optional(Type.String({ minLength: 1 })),
  name: Type.Optional(Type.String({ maxLength: 256 })),
  ttl: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: WEEK_SECONDS,
      default: 3600,
      description: "Seconds to keep it, from when it is computed.",
    }),
  ),
  cache_salt: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
});

export type PrefixBody = Type.Static<typeof prefixSchema>;

export const checkPrefixBody = compileBodyCheck(prefixSchema);
