export type GgufErrorCode =
  | "not-found"
  | "not-a-file"
  | "unreadable"
  | "bad-magic"
  | "bad-version"
  | "bad-count"
  | "truncated"
  | "bad-key"
  | "duplicate-key"
  | "bad-value"
  | "bad-tensor"
  | "duplicate-tensor"
  | "duplicate-token"
  | "bad-alignment"
  | "bad-offset"
  | "data-outside-file"
  | "missing-part"
  | "mismatched-part"
  | "too-large"
  | "reader-timeout"
  | "reader-died"
  | "aborted";

/** Why a GGUF file was refused: one sentence for a person, one code for the program. */
export class GgufError extends Error {
  override readonly name = "GgufError";
  readonly code: GgufErrorCode;

  constructor(code: GgufErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const MAX_QUOTED_LENGTH = 80;

/** Text that came out of a file, safe to show on one line of a terminal or a log. */
export function quote(text: string): string {
  const shown = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text;
  return JSON.stringify(shown).replaceAll(/[\u007f-\u009f\u2028\u2029\u202a-\u202e]/g, "�");
}
