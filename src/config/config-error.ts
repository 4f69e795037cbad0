/** A setting that cannot be used. The message is one sentence that names where the setting came from. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
