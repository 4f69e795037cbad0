import { spawn } from "node:child_process";
import process from "node:process";

/** A step of the preparation failed; the message carries the command's own output. */
export class StepError extends Error {
  name = "StepError";
}

const forwardedSignals = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Runs a command quietly, prints one line with its duration, and throws a StepError with its output if it fails. */
export async function runStep(title, command, args, options) {
  const startedAt = performance.now();
  process.stderr.write(`headway: ${title} ... `);
  const { ok, output } = await runCaptured(command, args, options);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stderr.write(ok ? `${seconds} s\n` : `failed after ${seconds} s\n`);
  if (!ok) throw new StepError(output.trim() || `${command} failed without saying why`);
}

function runCaptured(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const chunks = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    const forward = (signal) => child.kill(signal);
    for (const signal of forwardedSignals) process.on(signal, forward);
    const finish = (ok, extra = "") => {
      for (const signal of forwardedSignals) process.off(signal, forward);
      resolve({ ok, output: Buffer.concat(chunks).toString() + extra });
    };
    child.once("error", (error) => finish(false, error.message));
    child.once("close", (code, signal) => finish(code === 0, signal ? `ended by ${signal}` : ""));
  });
}
