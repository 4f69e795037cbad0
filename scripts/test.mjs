// npm test [-- WORD... --node-test-option...]: prepares the checkout, then runs every test whose path
// contains one of the words. Node 20's runner knows no globs, so the files are found here.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { prepareOrExplain } from "./prepare.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
// A test that hangs must fail with its name, long before any outer limit ends the whole run.
const testTimeoutMs = 120_000;

function findTests(words) {
  return readdirSync(join(root, "dist", "test"), { recursive: true })
    .filter((file) => file.endsWith(".test.js"))
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .map((file) => join("dist", "test", file))
    .sort();
}

function runTests(files, runnerOptions) {
  const args = [
    "--enable-source-maps",
    "--test",
    "--test-concurrency=2",
    "--test-reporter=spec",
    `--test-timeout=${testTimeoutMs}`,
    ...runnerOptions,
    ...files,
  ];
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)));
}

async function main(args) {
  if (!(await prepareOrExplain(root))) return 1;
  const files = findTests(args.filter((arg) => !arg.startsWith("-")));
  if (files.length === 0) {
    process.stderr.write(`no test file matches ${args.join(" ")}\n`);
    return 1;
  }
  return runTests(
    files,
    args.filter((arg) => arg.startsWith("-")),
  );
}

process.exitCode = await main(process.argv.slice(2));
