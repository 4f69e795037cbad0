import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { environmentName, optionGroups } from "../../../src/config/option.ts";
import { optionEntries } from "../../../src/config/options.ts";
import { runHeadway } from "../../support/run-headway.ts";

test("--help lists the commands and --version says the version", async () => {
  const help = await runHeadway(["--help"]);
  assert.equal(help.code, 0);
  for (const command of ["serve", "chat", "doctor", "models", "bench"]) {
    assert.match(help.stdout, new RegExp(`^ {2}${command}\\b`, "m"));
  }
  const version = await runHeadway(["--version"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

test("serve --help has every option under its heading, with default and variable", async () => {
  const { code, stdout } = await runHeadway(["serve", "--help"]);
  assert.equal(code, 0);
  const headings = [...stdout.matchAll(/^(\w+):$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, ["Arguments", ...optionGroups, "Configuration", "Options"]);
  const help = stdout.replaceAll(/\s+/g, " ");
  for (const [, option] of optionEntries) {
    assert.match(help, new RegExp(`--(no-)?${option.flag} `), option.flag);
    assert.ok(help.includes(`(default: ${option.defaultText}) [${environmentName(option)}]`), option.flag);
  }
});

test("the names that other programs rely on exist", async () => {
  const { stdout } = await runHeadway(["serve", "--help"]);
  const names =
    "model port host backend threads kv-memory gpu-memory-utilization max-model-len max-num-seqs cache-type-k " +
    "cache-type-v target-itl-ms seed api-key log-level config";
  for (const name of names.split(" ")) assert.ok(stdout.includes(`--${name} <`), name);
});

test("a mistake is one sentence with the nearest known name, exit code 1 and no stack trace", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "headway-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "headway.toml");
  writeFileSync(file, "max-num-seq = 4\n");
  const mistakes: readonly [readonly string[], Record<string, string>, RegExp][] = [
    [["--prot", "9000"], {}, /unknown option '--prot'\s+\(Did you mean --port\?\)/],
    [["sevre"], {}, /unknown command 'sevre'\s+\(Did you mean serve\?\)/],
    [
      ["serve", "--port", "high"],
      {},
      /^headway: --port must be a whole number from 0 to 65535, not "high"\n$/,
    ],
    [["serve", "a", "--model", "b"], {}, /^headway: two models are given, a and --model b\n$/],
    [["serve"], { HEADWAY_BACKENDS: "cpu" }, /HEADWAY_BACKENDS .*; did you mean HEADWAY_BACKEND\?\n$/],
    [["serve", "--config", file], {}, /max-num-seq in headway\.toml .*; did you mean max-num-seqs\?\n$/],
  ];
  for (const [args, environment, message] of mistakes) {
    const { code, stderr } = await runHeadway(args, environment);
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n {4}at /);
  }
});
