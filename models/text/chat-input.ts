/** A message as clients send it: OpenAI's shape, with the wire's field names, which templates read. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | null | readonly unknown[];
  readonly [field: string]: unknown;
}

/** A conversation to be rendered by a model's chat template. */
export interface ChatTemplateInput {
  readonly messages: readonly ChatMessage[];
  /** OpenAI's list of `{type: "function", function: {name, description, parameters}}`. */
  readonly tools?: readonly unknown[];
  /** Ends the prompt with the start of an assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** Leaves the last message, the assistant's, open: the model goes on with it. */
  readonly continueFinalMessage: boolean;
  /** Further variables for the template, such as `enable_thinking`. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
}
