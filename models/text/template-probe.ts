import { toTemplateMessages, type TemplateDialect } from "./chat-messages.ts";
import type { TemplateToken } from "./jinja-program.ts";

const PROBE_NAME = "probe_function";
const PROBE_VALUE = "probe_value";
const probeMessages = [
  { role: "user", content: "probe" },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      {
        id: "probe0000",
        type: "function",
        function: { name: PROBE_NAME, arguments: JSON.stringify({ probe_key: PROBE_VALUE }) },
      },
    ],
  },
  { role: "tool", tool_call_id: "probe0000", name: PROBE_NAME, content: "probe" },
];
const probeTools = [
  {
    type: "function",
    function: {
      name: PROBE_NAME,
      description: "probe",
      parameters: {
        type: "object",
        properties: { probe_key: { type: "string", description: "probe" } },
        required: [],
      },
    },
  },
];

/** In order of preference: what transformers passes, then what older templates need. */
const candidates = [
  { argumentsAsObject: true, nullContent: false },
  { argumentsAsObject: true, nullContent: true },
  { argumentsAsObject: false, nullContent: false },
  { argumentsAsObject: false, nullContent: true },
];

/**
 * Finds out what shape of tool calls a template can print, by trying: templates disagree on it and none of
 * them says. (llama.cpp's common/jinja and minja probe likewise.) The first shape whose call comes out
 * whole is taken; a template that knows no tools gets the first.
 */
export function probeDialect(
  source: string,
  render: (variables: Record<string, unknown>) => string,
): TemplateDialect {
  const words = {
    hasDeveloperRole: /["']developer["']/u.test(source),
    readsThinking: /message\.thinking\b/u.test(source) && !source.includes("reasoning_content"),
  };
  const dialects = candidates.map((candidate) => ({ ...candidate, ...words }));
  const works = dialects.find((dialect) => printsToolCall(dialect, render));
  return works ?? (dialects[0] as TemplateDialect);
}

function printsToolCall(
  dialect: TemplateDialect,
  render: (variables: Record<string, unknown>) => string,
): boolean {
  try {
    const messages = toTemplateMessages(probeMessages, dialect);
    const prompt = render({ messages, tools: probeTools, add_generation_prompt: true });
    return prompt.includes(PROBE_VALUE) && !prompt.includes("[object ");
  } catch {
    return false;
  }
}

/** Texts at which a template takes strings apart: the literal arguments of its split and replace calls. */
export function findCutTexts(tokens: readonly TemplateToken[]): string[] {
  const literals = tokens.filter((token) => token.type === "StringLiteral").map((token) => token.value);
  const cutTexts = new Set<string>();
  for (const [index, token] of tokens.entries()) {
    if (token.type !== "Identifier" || !/^(?:split|rsplit|replace)$/u.test(token.value)) continue;
    const argument = tokens[index + 2];
    // What a variable holds is not known here; it is one of the template's own literals.
    const texts = argument?.type === "StringLiteral" ? [argument.value] : literals;
    for (const text of texts) cutTexts.add(text);
  }
  return [...cutTexts];
}
