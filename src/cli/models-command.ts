import { Command } from "commander";

import type * as Models from "./models.ts";
import { createProgressSink } from "./models-progress.ts";

type ModelsAction = (models: typeof Models, options: Models.ModelsOptions) => Promise<void>;

/** `headway models list|pull|rm|show`. What the commands need is loaded when one of them runs. */
export function createModelsCommand(): Command {
  const command = new Command("models").summary("list, fetch, show and delete models").helpCommand(false);
  command
    .command("list")
    .description("Lists the models known by name and those that were fetched.")
    .option("--json", "print JSON", false)
    .action((flags: { json: boolean }) => run(flags.json, (models, options) => models.listModels(options)));
  command
    .command("pull <model>")
    .description("Fetches what --model would, so that a later start needs no network.")
    .action((spec: string) => run(false, (models, options) => models.pullModel(spec, options)));
  command
    .command("rm <model>")
    .description("Deletes a model from the cache, by its name or by what it was fetched with.")
    .action((spec: string) => run(false, (models, options) => models.removeModel(spec, options)));
  command
    .command("show <model>")
    .description("Shows what a model on this machine is and what memory it needs.")
    .option("--json", "print JSON", false)
    .action((spec: string, flags: { json: boolean }) =>
      run(flags.json, (models, options) => models.showModel(spec, options)),
    );
  return command;
}

async function run(json: boolean, action: ModelsAction): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  // Not once: where no listener is left, proper-lockfile's own ends the process before anything is cleared up.
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    const options: Models.ModelsOptions = {
      print: (line) => process.stdout.write(`${line}\n`),
      progress: createProgressSink(process.stderr),
      signal: interrupted.signal,
      env: process.env,
      json,
    };
    await action(await import("./models.ts"), options);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
