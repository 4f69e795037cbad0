import type { Type } from "typebox";
import type { ServerConfig } from "../dependencies.ts";

/** A body as the document shows it: with the limits that this server was started with. */
export function withLimits(
  schema: Type.TObject,
  { maxNumStopStrings, maxNumSequences }: ServerConfig,
): Type.TObject {
  const { stop, prompt } = schema.properties;
  const text = { type: "string", minLength: 1 };
  const properties = {
    ...schema.properties,
    ...(stop !== undefined && {
      stop: {
        ...stop,
        anyOf: [text, { type: "array", items: text, maxItems: maxNumStopStrings }],
      },
    }),
    ...(prompt !== undefined && {
      prompt: {
        ...prompt,
        description: `A text, token ids, or a list of up to ${maxNumSequences} of either, n times their number included.`,
      },
    }),
  };
  return { ...schema, properties };
}
