import { Command } from "commander";

import type { BenchConfig } from "./bench-config.ts";
import { benchConfig } from "./bench-config-from-options.ts";
import { addBenchOptions, type BenchOptionValues } from "./bench-options.ts";

/** The configuration that `headway bench` makes of these arguments; scripts write theirs the same way. */
export function configFromArguments(args: readonly string[], model: string): BenchConfig {
  const values = addBenchOptions(new Command())
    .parse([...args], { from: "user" })
    .opts<BenchOptionValues>();
  return benchConfig(values, model, process.env);
}
