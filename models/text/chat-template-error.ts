/** The template, or this server on its behalf, refuses a conversation. The message is for the client. */
export class ChatTemplateError extends Error {
  override readonly name = "ChatTemplateError";
  /** The request's field at fault. */
  readonly param: string;

  constructor(message: string, param = "messages") {
    super(message);
    this.param = param;
  }
}

const MAX_REASON_LENGTH = 500;

/** Makes a template engine's complaint fit for a client: one bounded line, without invisible characters. */
export function describeReason(error: unknown): string {
  const reason = error instanceof Error ? error.message : "unknown reason";
  const visible = reason.replace(/\p{Noncharacter_Code_Point}/gu, "");
  const line = visible.replace(/\p{Cc}+/gu, " ").trim();
  return line.length > MAX_REASON_LENGTH ? `${line.slice(0, MAX_REASON_LENGTH)}…` : line;
}
