import { type Command, Option as Flag } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { loadConfig } from "../config/load-config.ts";
import { environmentName, optionGroups, type Option } from "../config/option.ts";
import { configFileFlag, optionEntries, type Config } from "../config/options.ts";

/** Gives a command every option of the configuration schema, under the schema's headings. */
export function addConfigOptions(command: Command): Command {
  for (const group of optionGroups) {
    for (const [, option] of optionEntries) {
      if (option.group !== group) continue;
      for (const flag of toFlags(option)) command.addOption(flag.helpGroup(`${group}:`));
    }
  }
  return command
    .addOption(
      new Flag(
        `--${configFileFlag} <file>`,
        "Settings by option name in JSON, TOML or YAML [HEADWAY_CONFIG]",
      ).helpGroup("Configuration:"),
    )
    .addHelpText(
      "after",
      "\nA flag goes before its variable in the environment, which goes before the file.",
    );
}

/**
 * Reads the configuration from the flags given to the command, the environment and the file. `--model` may be given
 * without its name. Throws ConfigError.
 */
export function readConfig(command: Command, model?: string): Config {
  const given = command.opts<Record<string, unknown>>();
  if (model !== undefined) {
    const flagged = given["model"] as string | undefined;
    if (flagged !== undefined) throw new ConfigError(`two models are given, ${model} and --model ${flagged}`);
    given["model"] = model;
  }
  const flags = optionEntries.map(([, { flag }]) => [flag, given[attributeName(flag)]] as const);
  return loadConfig({
    flags: Object.fromEntries(flags),
    configFile: given[configFileFlag] as string | undefined,
  });
}

/** A switch can be given both ways; help shows the way that differs from the default. */
function toFlags(option: Option<unknown>): readonly Flag[] {
  const description = `${option.description} (default: ${option.defaultText}) [${environmentName(option)}]`;
  if (option.type.placeholder !== "") {
    const flag = new Flag(`--${option.flag} <${option.type.placeholder}>`, description);
    return [option.type.isList ? flag.argParser(collect) : flag];
  }
  return [
    new Flag(`--${option.flag}`, description).hideHelp(option.default === true),
    new Flag(`--no-${option.flag}`, description).hideHelp(option.default === false),
  ];
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

/** Commander's name for a flag: kebab-case to camelCase. */
function attributeName(flag: string): string {
  return flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
