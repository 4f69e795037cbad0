import { basename } from "node:path";
import { closest, distance } from "fastest-levenshtein";
import { ConfigError } from "./config-error.ts";
import { readConfigFile } from "./config-file.ts";
import { environmentName, type Option } from "./option.ts";
import { configFileVariable, optionEntries, type Config } from "./options.ts";

export interface ConfigSources {
  /** Values of command-line flags by option name (`max-model-len`), as given. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The process's own, unless a test gives another. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** From `--config`; without it HEADWAY_CONFIG may name one. */
  readonly configFile?: string | undefined;
}

/** The variables that tests read are not settings of the server. */
const testVariablePrefix = "HEADWAY_TEST_";

/** One value and how to name its place in an error. */
interface Setting {
  readonly raw: unknown;
  readonly place: string;
}

type Settings = ReadonlyMap<string, Setting>;

/**
 * The settings of a start: flag before environment before file before default.
 * Throws ConfigError for an unknown name (with the nearest known one) or a value out of range.
 */
export function loadConfig(sources: ConfigSources): Config {
  const { flags, environment = process.env } = sources;
  const file = sources.configFile ?? environment[configFileVariable];
  const layers = [
    flagSettings(flags),
    environmentSettings(environment),
    file ? fileSettings(file) : new Map<string, Setting>(),
  ];
  const entries = optionEntries.map(([key, option]) => [key, resolve(option, layers)] as const);
  const config = Object.freeze(Object.fromEntries(entries)) as Config;
  checkTogether(config);
  return config;
}

function resolve(option: Option<unknown>, layers: readonly Settings[]): unknown {
  const setting = layers.map((layer) => layer.get(option.flag)).find((found) => found !== undefined);
  if (setting === undefined) return option.default;
  try {
    return option.type.parse(setting.raw);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ConfigError(`${setting.place} must be ${error.message}, not ${JSON.stringify(setting.raw)}`);
  }
}

function flagSettings(flags: ConfigSources["flags"]): Settings {
  const given = Object.entries(flags).filter(([, raw]) => raw !== undefined);
  return new Map(given.map(([flag, raw]) => [flag, { raw, place: `--${flag}` }]));
}

function environmentSettings(environment: NonNullable<ConfigSources["environment"]>): Settings {
  const flagByVariable = new Map(optionEntries.map(([, option]) => [environmentName(option), option.flag]));
  const settings = new Map<string, Setting>();
  for (const [variable, raw] of Object.entries(environment)) {
    if (!variable.startsWith("HEADWAY_") || variable.startsWith(testVariablePrefix)) continue;
    // Container files often pass variables on that are set to nothing.
    if (variable === configFileVariable || raw === undefined || raw === "") continue;
    const flag = flagByVariable.get(variable);
    if (flag === undefined) {
      const hint = nearest(variable, [...flagByVariable.keys(), configFileVariable]);
      throw new ConfigError(`${variable} in the environment is no setting of Headway${hint}`);
    }
    settings.set(flag, { raw, place: variable });
  }
  return settings;
}

function fileSettings(path: string): Settings {
  const flags = optionEntries.map(([, option]) => option.flag);
  const fileName = basename(path);
  const settings = new Map<string, Setting>();
  for (const [name, raw] of Object.entries(readConfigFile(path))) {
    const flag = name.replaceAll("_", "-");
    if (!flags.includes(flag)) {
      throw new ConfigError(`${name} in ${fileName} is no setting of Headway${nearest(flag, flags)}`);
    }
    settings.set(flag, { raw, place: `${name} in ${fileName}` });
  }
  return settings;
}

/** A hint at a known name, unless nothing is near enough to be what was meant. */
function nearest(name: string, known: readonly string[]): string {
  const best = closest(name, known);
  return distance(name, best) <= Math.max(2, name.length / 3) ? `; did you mean ${best}?` : "";
}

function checkTogether(config: Config): void {
  if (config.streamBufferSoftBytes > config.streamBufferHardBytes) {
    throw new ConfigError("stream-buffer-soft must not be greater than stream-buffer-hard");
  }
  checkDeterministic(config);
}

/** What the mode needs (docs/layouts.md), said before anything is loaded. */
function checkDeterministic({ deterministic, kvLayout, cacheTypeV }: Config): void {
  if (!deterministic) return;
  if (kvLayout === "paged") throw new ConfigError("deterministic needs kv-layout streams");
  if (!["f32", "f16", "bf16"].includes(cacheTypeV)) {
    throw new ConfigError(
      "deterministic turns flash attention off, so cache-type-v must be f32, f16 or bf16",
    );
  }
}
