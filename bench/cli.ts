import { Command, CommanderError } from "commander";

import { addBenchOptions } from "./bench-options.ts";
import { compareCommand, createCompareCommand } from "./commands/compare-command.ts";
import { curveCommand, createCurveCommand } from "./commands/curve-command.ts";
import { EXIT } from "./commands/exit-codes.ts";
import { reportCommand, createReportCommand } from "./commands/report-command.ts";
import { addOutputOptions, runCommand } from "./commands/run-command.ts";
import { searchCommand, createSearchCommand } from "./commands/search-command.ts";
import { METRIC_HELP } from "./compare/result-metric.ts";

const EXAMPLES = `
Examples:
  headway bench --concurrency 8 --requests 100
  headway bench --rate 4 --duration 60 --warmup 10 --slo ttft=500,itl=50 --html report.html
  headway bench --workload intruder --rate 2 --duration 60 --json new.json --baseline old.json --fail-if 'itl.p99>1.1x'
  headway bench search --slo mlperf-llama3.1-8b-interactive --duration 60
  headway bench compare --url http://127.0.0.1:8000 --url-b http://127.0.0.1:9090 --repeat 5

Metrics in conditions: ${METRIC_HELP}

Exit codes: 0 done, 1 could not run or nothing succeeded, 2 wrong options, 3 a condition failed or no rate meets
the SLO, 4 the client was late (--strict).`;

/** `headway bench` and its subcommands; `setExitCode` receives the outcome of the command that ran. */
function createBenchCommand(setExitCode: (code: number) => void): Command {
  const command = new Command("headway bench")
    .description("Load-tests an OpenAI-compatible server; latencies count from the time a request was due.")
    .addHelpText("after", EXAMPLES)
    .helpOption("-h, --help", "explain the options")
    .helpCommand(false)
    // Options after a subcommand's name are its own, though both commands know options of the same name.
    .enablePositionalOptions()
    .exitOverride();
  addOutputOptions(addBenchOptions(command)).action(guarded(setExitCode, runCommand));
  command.addCommand(createSearchCommand().action(guarded(setExitCode, searchCommand)));
  command.addCommand(createCurveCommand().action(guarded(setExitCode, curveCommand)));
  command.addCommand(createCompareCommand().action(guarded(setExitCode, compareCommand)));
  command.addCommand(createReportCommand().action(guarded(setExitCode, reportCommand)));
  for (const subcommand of command.commands) subcommand.exitOverride();
  return command;
}

/** Turns failures that a user can act on into a message and an exit code. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- names the options type that `run` reads
function guarded<T>(setExitCode: (code: number) => void, run: (options: T) => Promise<number>) {
  return async (_options: unknown, command: Command): Promise<void> => {
    try {
      setExitCode(await run(command.opts() as T));
    } catch (error) {
      process.stderr.write(`headway bench: ${(error as Error).message}\n`);
      setExitCode(error instanceof RangeError ? EXIT.usage : EXIT.failed);
    }
  };
}

/** Runs one bench command line (without 'bench' itself) and resolves to the exit code. */
export async function benchCommand(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const command = createBenchCommand((code) => {
    exitCode = code;
  });
  try {
    await command.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}
