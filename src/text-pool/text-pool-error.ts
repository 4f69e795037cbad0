export type TextPoolErrorCode =
  | "template_timeout"
  | "tokenize_timeout"
  | "input_too_large"
  /** Two workers in a row died at this text. */
  | "worker_crashed"
  /** The vocabulary cannot be loaded, or the operator's template not be read; only at start. */
  | "vocabulary_unusable"
  | "closed";

/** Why a text could not be turned into tokens. The message is fit for a client. */
export class TextPoolError extends Error {
  override readonly name: string = "TextPoolError";
  readonly code: TextPoolErrorCode | "busy";

  constructor(code: TextPoolErrorCode | "busy", message: string) {
    super(message);
    this.code = code;
  }
}

/** Too many texts wait already; nothing was queued. */
export class TextPoolBusyError extends TextPoolError {
  override readonly name = "TextPoolBusyError";

  constructor() {
    super("busy", "Too many texts wait to be tokenized. Try again later.");
  }
}

export function closedError(): TextPoolError {
  return new TextPoolError("closed", "The server is shutting down.");
}
