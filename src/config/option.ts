/** Headings of `--help` and of the documentation, in their order. */
export const optionGroups = ["Model", "Server", "Memory", "Scheduling", "Security", "Logging"] as const;
export type OptionGroup = (typeof optionGroups)[number];

/** How a value is written. `parse` takes text (flag, environment) or a value of a configuration file. */
export interface ValueType<T> {
  /** Shown in help: `<size>`, or the choices; empty for a switch, which needs no value. */
  readonly placeholder: string;
  readonly isList: boolean;
  /** Throws a RangeError whose message completes "NAME must be ...". */
  parse(raw: unknown): T;
  /** The value as a user would write it. */
  format(value: T): string;
}

/** One setting, the same by flag, environment and configuration file. */
export interface Option<T> {
  /** Name without dashes; also the key in configuration files, and in capitals behind HEADWAY_. */
  readonly flag: string;
  readonly group: OptionGroup;
  readonly type: ValueType<T>;
  readonly description: string;
  /** `null` stands for "found at start" or "none"; `defaultText` says which. */
  readonly default: T | null;
  readonly defaultText: string;
}

export function environmentName(option: Option<unknown>): string {
  return `HEADWAY_${option.flag.replaceAll("-", "_").toUpperCase()}`;
}
