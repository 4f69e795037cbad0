export type ModelStoreErrorCode =
  | "bad-spec"
  | "unknown-model"
  | "not-found"
  | "offline"
  | "unreachable"
  | "interrupted"
  | "http-status"
  | "not-authorized"
  | "bad-redirect"
  | "bad-listing"
  | "ambiguous"
  | "size-mismatch"
  | "checksum-mismatch"
  | "not-gguf"
  | "disk-full"
  | "cannot-write"
  | "busy"
  | "pip-missing"
  | "pip-failed"
  | "bad-archive"
  | "aborted";

/** Why a model could not be provided: one sentence for a person, one code for the program. */
export class ModelStoreError extends Error {
  override readonly name = "ModelStoreError";
  readonly code: ModelStoreErrorCode;

  constructor(code: ModelStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The `code` that Node and libraries put on their errors, or an empty text. */
export function errorCodeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

const DISK_FULL_CODES = new Set(["ENOSPC", "EDQUOT"]);
const DENIED_CODES = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "EEXIST"]);

/** Gives file-system and cancellation errors their sentence; passes everything else on unchanged. */
export function asStoreError(error: unknown, path: string): unknown {
  if (error instanceof ModelStoreError) return error;
  if (error instanceof Error && error.name === "AbortError")
    return new ModelStoreError("aborted", "the download was cancelled");
  const code = errorCodeOf(error);
  if (DISK_FULL_CODES.has(code))
    return new ModelStoreError("disk-full", `the disk is full: ${path} could not be written`, {
      cause: error,
    });
  if (DENIED_CODES.has(code))
    return new ModelStoreError("cannot-write", `cannot write ${path} (${code})`, { cause: error });
  return error;
}
