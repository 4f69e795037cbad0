// Makes a checkout runnable: installs dependencies and compiles, each only when something changed.
// Everything in scripts/ is plain Node without dependencies: it runs before anything is installed.
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build, isBuilt } from "./build.mjs";
import { install, isInstalled } from "./install.mjs";
import { withProcessLock } from "./process-lock.mjs";
import { StepError } from "./run-step.mjs";

/** Rejects with a StepError when a step fails. Two starts at once wait for each other. */
export async function prepare(root) {
  if (isInstalled(root) && isBuilt(root)) return;
  await withProcessLock(join(root, ".headway", "prepare.lock"), async () => {
    if (!isInstalled(root)) await install(root);
    if (!isBuilt(root)) await build(root);
  });
}

/** Like prepare, but prints the reason of a failure; resolves to whether the checkout is ready. */
export async function prepareOrExplain(root) {
  try {
    await prepare(root);
    return true;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return false;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const ready = await prepareOrExplain(fileURLToPath(new URL("..", import.meta.url)));
  process.exitCode = ready ? 0 : 1;
}
