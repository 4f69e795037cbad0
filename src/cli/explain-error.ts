/**
 * Errors that are the user's to solve, by name, so that explaining one loads nothing of the layer it came from.
 * Their message is one sentence.
 */
const explainedNames = new Set([
  "ChatError",
  "ConfigError",
  "EngineStartError",
  "GgufError",
  "LibraryError",
  "MemoryPlanError",
  "ModelLoadError",
  "ModelRefusedError",
  "ModelStoreError",
  "TextPoolError",
]);

interface ListenError extends NodeJS.ErrnoException {
  readonly address?: string;
  readonly port?: number;
}

/** The sentence for the user, or null when the error is a defect of ours and needs its stack trace. */
export function explainError(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if (explainedNames.has(error.name)) return error.message;
  const { syscall, code, address, port } = error as ListenError;
  if (syscall === "listen" || syscall === "getaddrinfo" || syscall === "bind") {
    const place = address === undefined ? "the address" : `${address}:${port ?? ""}`;
    if (code === "EADDRINUSE") return `${place} is in use by another program; choose another with --port`;
    return `cannot listen on ${place}: ${error.message}`;
  }
  return null;
}
