import type { ChatMessage } from "./chat-input.ts";
import { toTemplateMessages, type TemplateDialect } from "./chat-messages.ts";
import type { TemplateToken } from "./jinja-program.ts";

const PROBE_NAME = "probe_function";
const PROBE_VALUE = "probe_value";
const PROBE_RESULT = "probe_result";
const probeMessages: readonly [ChatMessage, ChatMessage, ChatMessage] = [
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
  { role: "tool", tool_call_id: "probe0000", name: PROBE_NAME, content: PROBE_RESULT },
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
const toolCallShapes = [
  { argumentsAsObject: true, nullContent: false },
  { argumentsAsObject: true, nullContent: true },
  { argumentsAsObject: false, nullContent: false },
  { argumentsAsObject: false, nullContent: true },
];

type Render = (variables: Record<string, unknown>) => string;

/**
 * Finds out what a template can take, by trying: templates disagree and none of them says (llama.cpp's
 * common/jinja probes likewise). The first shape whose tool call comes out whole is taken; a template that
 * knows no tools gets the first.
 */
export function probeDialect(source: string, render: Render): TemplateDialect {
  const common = {
    noTools: takesNullTools(render) ? null : ([] as const),
    hasDeveloperRole: /["']developer["']/u.test(source),
    readsThinking: /message\.thinking\b/u.test(source) && !source.includes("reasoning_content"),
  };
  const dialects = toolCallShapes.map((shape) => ({ ...shape, ...common }));
  return dialects.find((dialect) => printsToolCall(dialect, render)) ?? (dialects[0] as TemplateDialect);
}

/** Roles that answer tool calls, the second in OpenAI's older form. */
export const toolRoles: ReadonlySet<string> = new Set(["tool", "function"]);

/** What a template prints of the use of tools where it is given no list of them. */
export interface ShownToolUse {
  readonly hasToolCalls: boolean;
  readonly toolRoles: ReadonlySet<string>;
}

export function probeShown(dialect: TemplateDialect, render: Render): ShownToolUse {
  const prints = (text: string, given: readonly ChatMessage[]): boolean =>
    succeeds(() => {
      const messages = toTemplateMessages(given, dialect);
      return render({ messages, tools: dialect.noTools, add_generation_prompt: true }).includes(text);
    });
  const [question, call, result] = probeMessages;
  const resultAs = (role: string) => [question, call, { ...result, role }];
  return {
    // Some templates refuse a call without its result, and some the role of results.
    hasToolCalls: prints(PROBE_VALUE, probeMessages) || prints(PROBE_VALUE, [question, call]),
    toolRoles: new Set([...toolRoles].filter((role) => prints(PROBE_RESULT, resultAs(role)))),
  };
}

function takesNullTools(render: Render): boolean {
  const messages = [{ role: "user", content: "probe" }];
  return succeeds(() => render({ messages, tools: null, add_generation_prompt: true }) !== "");
}

function printsToolCall(dialect: TemplateDialect, render: Render): boolean {
  return succeeds(() => {
    const messages = toTemplateMessages(probeMessages, dialect);
    const prompt = render({ messages, tools: probeTools, add_generation_prompt: true });
    return prompt.includes(PROBE_VALUE) && !prompt.includes("[object ");
  });
}

function succeeds(attempt: () => boolean): boolean {
  try {
    return attempt();
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
