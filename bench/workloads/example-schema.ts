/** A schema with the usual parts (string, number, enum, list, nesting), for `--workload json-schema`. */
export const EXAMPLE_SCHEMA = {
  type: "object",
  properties: {
    title: { type: "string", maxLength: 60 },
    category: { enum: ["report", "question", "story"] },
    score: { type: "integer", minimum: 0, maximum: 100 },
    tags: { type: "array", items: { type: "string", maxLength: 20 }, maxItems: 4 },
    author: {
      type: "object",
      properties: { name: { type: "string", maxLength: 40 }, verified: { type: "boolean" } },
      required: ["name", "verified"],
      additionalProperties: false,
    },
  },
  required: ["title", "category", "score", "tags", "author"],
  additionalProperties: false,
} as const;
