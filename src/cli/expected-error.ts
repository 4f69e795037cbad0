/**
 * Errors that are the user's to solve: printed as one sentence, without a stack trace. They are known by name, so
 * that printing an error loads nothing of the layer it came from.
 */
const expectedNames = new Set([
  "ConfigError",
  "GgufError",
  "ModelLoadError",
  "ModelStoreError",
  "ServeError",
]);

export function isExpectedError(error: unknown): error is Error {
  return error instanceof Error && expectedNames.has(error.name);
}
