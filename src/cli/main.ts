import { Command, CommanderError } from "commander";
import { createChatCommand } from "./chat-command.ts";
import { createDoctorCommand } from "./doctor-command.ts";
import { explainError } from "./explain-error.ts";
import { createModelsCommand } from "./models-command.ts";
import { createServeCommand } from "./serve-command.ts";
import { headwayVersion } from "./package-file.ts";

/** Runs one command line and resolves to the exit code of the process. */
export async function main(argv: readonly string[]): Promise<number> {
  ignoreClosedPipes();
  // Its dozen modules are loaded for it alone.
  if (argv[0] === "bench") {
    const { benchCommand } = await import("../../bench/cli.ts");
    return benchCommand(argv.slice(1));
  }
  let exitCode = 0;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(withDefaultCommand(argv), { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has already printed its message, help or version.
    if (error instanceof CommanderError) return error.exitCode;
    const sentence = explainError(error);
    if (sentence === null) throw error;
    process.stderr.write(`headway: ${sentence}\n`);
    return 1;
  }
}

/** `headway serve | head` closes its pipe early; that must not end the server. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

function createProgram(setExitCode: (code: number) => void): Command {
  const program = new Command("headway")
    .description("Serves one GGUF model to many clients at once.")
    .version(headwayVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "explain a command")
    .helpCommand(false)
    .configureHelp({ sortSubcommands: false })
    .addHelpText("after", "\nWithout a command it serves; headway serve --help lists the options.")
    .exitOverride();
  program.addCommand(createServeCommand(setExitCode));
  program.addCommand(createChatCommand(setExitCode));
  program.addCommand(createDoctorCommand(setExitCode));
  program.addCommand(createModelsCommand());
  program.command("bench").summary("load-test a server and report latencies");
  passSettingsDown(program);
  return program;
}

/** Commander does so only for commands that it creates itself. */
function passSettingsDown(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    passSettingsDown(command);
  }
}

/** `headway --port 9000` serves; help and version belong to the program. */
function withDefaultCommand(argv: readonly string[]): string[] {
  const [first] = argv;
  const isServe = first === undefined || (first.startsWith("-") && !/^(-h|--help|-V|--version)$/.test(first));
  return isServe ? ["serve", ...argv] : [...argv];
}
