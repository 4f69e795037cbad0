import { spawn, type ChildProcess } from "node:child_process";

const entry = new URL("../../src/cli/main.js", import.meta.url).href;
const script = `import { main } from ${JSON.stringify(entry)};
process.exitCode = (await main(process.argv.slice(1))) || process.exitCode;`;

export interface HeadwayProcess {
  readonly child: ChildProcess;
  /** What was printed so far. */
  readonly printed: { stdout: string; stderr: string };
  readonly ended: Promise<HeadwayResult>;
}

export interface HeadwayResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the compiled command line in a process of its own, without the caller's HEADWAY_ variables. */
export function startHeadway(
  args: readonly string[],
  environment: Record<string, string> = {},
): HeadwayProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HEADWAY_"));
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script, "--", ...args], {
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const printed = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (printed.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (printed.stderr += chunk.toString()));
  const ended = new Promise<HeadwayResult>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, ...printed }));
  });
  return { child, printed, ended };
}

/** Resolves once the text stands on the standard output. */
export function whenPrinted({ child, printed }: HeadwayProcess, text: string): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (printed.stdout.includes(text)) resolve();
    };
    child.stdout?.on("data", check);
    check();
  });
}

/** Runs a command line to its end. */
export function runHeadway(
  args: readonly string[],
  environment?: Record<string, string>,
): Promise<HeadwayResult> {
  const { child, ended } = startHeadway(args, environment);
  child.stdin?.end();
  return ended;
}
