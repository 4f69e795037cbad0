import { isRecord, toTemplateMessages, type TemplateDialect } from "./chat-messages.ts";
import type { ChatMessage, ChatTemplateInput } from "./chat-input.ts";
import { ChatTemplateError, describeReason } from "./chat-template-error.ts";
import { JinjaProgram } from "./jinja-program.ts";
import { CONTINUATION_MARK, SpecialTextGuard, type PromptSegment } from "./special-text-guard.ts";
import { createTemplateGlobals } from "./template-globals.ts";
import { findCutTexts, probeDialect, probeShown, toolRoles, type ShownToolUse } from "./template-probe.ts";

/** Used for a model whose file has no template: the format most models of its size were tuned on. */
export const CHATML_TEMPLATE = `
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}`;

const MAX_VALUE_DEPTH = 64;
const KWARG_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/u;
const RESERVED_NAMES = new Set([
  "messages",
  "tools",
  "add_generation_prompt",
  "continue_final_message",
  "bos_token",
  "eos_token",
  "namespace",
  "loop",
  "caller",
  ...Object.keys(createTemplateGlobals(() => new Date(0))),
]);

export interface ChatTemplateOptions {
  /** Jinja source. */
  readonly source: string;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Texts of the vocabulary's control tokens. */
  readonly specialTexts: readonly string[];
  readonly now?: () => Date;
}

/**
 * A model's own Jinja chat template, over text that stays data: nothing a client writes becomes a control
 * token. The engine is @huggingface/jinja, which evaluates no code; it is bounded in time only by the
 * process it runs in. Every failure is a ChatTemplateError.
 */
export class ChatTemplate {
  readonly #options: ChatTemplateOptions;
  readonly #program: JinjaProgram;
  readonly #guard: SpecialTextGuard;
  #knownDialect: TemplateDialect | null = null;
  #shown: ShownToolUse | null = null;

  constructor(options: ChatTemplateOptions) {
    this.#options = options;
    this.#program = parseTemplate(options.source);
    this.#guard = new SpecialTextGuard(options.specialTexts, findCutTexts(this.#program.tokens));
  }

  /** `maxPromptLength` is in UTF-16 units. */
  render(input: ChatTemplateInput, maxPromptLength: number): PromptSegment[] {
    const prompt = this.#renderMarked(input);
    if (prompt.length > maxPromptLength) {
      throw new ChatTemplateError("The rendered conversation is too long.");
    }
    return this.#guard.split(prompt);
  }

  /** The first tool call, or result of one, that the template would leave out in silence; null without any. */
  hiddenField(messages: readonly ChatMessage[]): string | null {
    for (const [index, { role, tool_calls: toolCalls }] of messages.entries()) {
      const isResult = toolRoles.has(role);
      const hasCalls = Array.isArray(toolCalls) && toolCalls.length > 0;
      if (!isResult && !hasCalls) continue;
      this.#shown ??= probeShown(this.#dialect, (variables) => this.#run(variables));
      if (hasCalls && !this.#shown.hasToolCalls) return `messages[${index}].tool_calls`;
      if (isResult && !this.#shown.toolRoles.has(role)) return `messages[${index}]`;
    }
    return null;
  }

  get #dialect(): TemplateDialect {
    this.#knownDialect ??= probeDialect(this.#options.source, (variables) => this.#run(variables));
    return this.#knownDialect;
  }

  #renderMarked(input: ChatTemplateInput): string {
    const { noTools } = this.#dialect;
    const messages = this.#protectMessages(toTemplateMessages(input.messages, this.#dialect));
    if (input.continueFinalMessage) markContinuation(messages);
    const variables = {
      ...this.#protectKwargs(input.chatTemplateKwargs ?? {}),
      messages,
      tools: input.tools === undefined || input.tools.length === 0 ? noTools : this.#protect(input.tools),
      add_generation_prompt: input.addGenerationPrompt,
    };
    const prompt = this.#run(variables);
    return input.continueFinalMessage ? cutAtContinuation(prompt) : prompt;
  }

  #run(variables: Record<string, unknown>): string {
    const globals = createTemplateGlobals(this.#options.now ?? (() => new Date()));
    const { bosToken, eosToken } = this.#options;
    try {
      return this.#program.run({
        documents: null,
        ...variables,
        ...globals,
        bos_token: bosToken,
        eos_token: eosToken,
      });
    } catch (error) {
      throw new ChatTemplateError(
        `The model's chat template refuses this conversation: ${describeReason(error)}`,
      );
    }
  }

  #protectMessages(messages: readonly Record<string, unknown>[]): Record<string, unknown>[] {
    return messages.map(({ role, ...fields }) => ({ ...(this.#protect(fields) as object), role }));
  }

  #protectKwargs(kwargs: Readonly<Record<string, unknown>>): Record<string, unknown> {
    for (const name of Object.keys(kwargs)) {
      if (!KWARG_NAME.test(name) || RESERVED_NAMES.has(name)) {
        throw new ChatTemplateError("chat_template_kwargs has a name that cannot be set.");
      }
    }
    return this.#protect(kwargs) as Record<string, unknown>;
  }

  /** Copies a JSON value with every string in it, keys included, kept from becoming special tokens. */
  #protect(value: unknown, depth = 0): unknown {
    if (depth > MAX_VALUE_DEPTH) throw new ChatTemplateError("The conversation is nested too deeply.");
    if (typeof value === "string") return this.#guard.protect(value);
    if (Array.isArray(value)) return value.map((item) => this.#protect(item, depth + 1));
    if (!isRecord(value)) return value;
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, item]) => [this.#guard.protect(key), this.#protect(item, depth + 1)]),
    );
  }
}

function parseTemplate(source: string): JinjaProgram {
  try {
    return new JinjaProgram(source);
  } catch (error) {
    throw new ChatTemplateError(`The model's chat template cannot be read: ${describeReason(error)}`);
  }
}

/** Follows transformers' continue_final_message: a mark shows where the message's text ends in the prompt. */
function markContinuation(messages: Record<string, unknown>[]): void {
  const last = messages.at(-1);
  if (last === undefined || last["role"] !== "assistant" || typeof last["content"] !== "string") {
    throw new ChatTemplateError("Only a final assistant message with text can be continued.");
  }
  last["content"] += CONTINUATION_MARK;
}

function cutAtContinuation(prompt: string): string {
  const end = prompt.lastIndexOf(CONTINUATION_MARK);
  if (end === -1)
    throw new ChatTemplateError("The model's chat template does not show the message to continue.");
  return prompt.slice(0, end).replaceAll(CONTINUATION_MARK, "");
}
