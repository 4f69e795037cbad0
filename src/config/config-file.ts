import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { parse as parseToml } from "smol-toml";
import { parse as parseYaml } from "yaml";
import { ConfigError } from "./config-error.ts";

const parsers: Readonly<Record<string, (content: string) => unknown>> = {
  ".json": (content) => JSON.parse(content) as unknown,
  ".toml": parseToml,
  ".yaml": (content) => parseYaml(content) as unknown,
  ".yml": (content) => parseYaml(content) as unknown,
};

/** The file's settings by option name, unchecked. Its extension says whether it is JSON, TOML or YAML. */
export function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  const parse = parsers[extname(path).toLowerCase()];
  if (!parse) {
    throw new ConfigError(
      `${path} must end in ${Object.keys(parsers).join(", ")} to be read as configuration`,
    );
  }
  const settings = parseContent(path, parse);
  if (settings === null || settings === undefined) return {};
  if (typeof settings !== "object" || Array.isArray(settings)) {
    throw new ConfigError(`${path} must hold settings by name`);
  }
  return settings as Readonly<Record<string, unknown>>;
}

function parseContent(path: string, parse: (content: string) => unknown): unknown {
  const content = readContent(path);
  try {
    return parse(content);
  } catch (error) {
    // Parsers print an excerpt below their first line.
    const [reason] = (error as Error).message.split("\n");
    throw new ConfigError(`${path} cannot be parsed: ${reason}`);
  }
}

function readContent(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(
      `the configuration file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
