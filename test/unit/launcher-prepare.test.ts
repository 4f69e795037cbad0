import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const checkout = findCheckout();
const lock = {
  packages: {
    "": {},
    "node_modules/a": { version: "1.0.0" },
    "node_modules/b": { version: "2.0.0", optional: true },
  },
};

/** Stands for npm and tsc: each call adds a line to calls.log and leaves what the real one would. */
const fakeNpm = `#!/usr/bin/env node
const fs = require("node:fs");
fs.appendFileSync("calls.log", "npm " + process.argv.slice(2, 3) + "\\n");
if (fs.existsSync("npm-fails")) { console.error("registry unreachable"); process.exit(1); }
fs.mkdirSync("node_modules/typescript/bin", { recursive: true });
fs.copyFileSync("fake-tsc.cjs", "node_modules/typescript/bin/tsc");
fs.copyFileSync("package-lock.json", "node_modules/.package-lock.json");
`;
const fakeTsc = `const fs = require("node:fs");
fs.appendFileSync("calls.log", "tsc\\n");
if (fs.existsSync("tsc-fails")) { console.log("src/x.ts(1,1): error TS1"); process.exit(2); }
fs.mkdirSync("dist/src/cli", { recursive: true });
fs.writeFileSync("dist/src/cli/main.js", "export const main = (argv) => { console.log(argv.join(' ')); return 7; };");
for (const name of fs.readdirSync("src")) if (name.endsWith(".ts")) fs.writeFileSync("dist/src/" + name.replace(/ts$/, "js"), "");
`;

function findCheckout(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "scripts", "prepare.mjs"))) folder = dirname(folder);
  return folder;
}

function createFreshClone(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "headway-launcher-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const folder of ["bin", "scripts"])
    cpSync(join(checkout, folder), join(root, folder), { recursive: true });
  mkdirSync(join(root, "src", "cli"), { recursive: true });
  mkdirSync(join(root, "fake-bin"));
  writeFileSync(join(root, "fake-bin", "npm"), fakeNpm);
  chmodSync(join(root, "fake-bin", "npm"), 0o755);
  writeFileSync(join(root, "fake-tsc.cjs"), fakeTsc);
  writeFileSync(join(root, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(root, "fake-bin", "package.json"), JSON.stringify({ type: "commonjs" }));
  writeFileSync(join(root, "package-lock.json"), JSON.stringify(lock));
  writeFileSync(join(root, "tsconfig.json"), JSON.stringify({ include: ["src"] }));
  writeFileSync(join(root, "tsconfig.build.json"), "{}");
  writeFileSync(join(root, "src", "cli", "main.ts"), "");
  writeFileSync(join(root, "src", "old.ts"), "");
  return root;
}

interface StartResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Commands run by this start. */
  readonly calls: readonly string[];
}

function start(root: string): Promise<StartResult> {
  const callsFile = join(root, "calls.log");
  rmSync(callsFile, { force: true });
  const child = spawn(process.execPath, ["bin/headway.mjs", "serve", "--port", "1"], {
    cwd: root,
    env: { PATH: `${join(root, "fake-bin")}${delimiter}${process.env["PATH"]}` },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  return new Promise((resolve) => {
    child.once("close", (code) => {
      const calls = existsSync(callsFile) ? readFileSync(callsFile, "utf8").trim().split("\n") : [];
      resolve({ code, stdout, stderr, calls });
    });
  });
}

test("a fresh clone installs, compiles and passes arguments and the exit code on", async (t) => {
  const root = createFreshClone(t);
  const first = await start(root);
  assert.deepEqual(first.calls, ["npm ci", "tsc"]);
  assert.equal(first.stdout, "serve --port 1\n");
  assert.equal(first.code, 7);
  assert.match(first.stderr, /installing dependencies \(npm ci\) \.\.\. [\d.]+ s\n/);
  assert.match(first.stderr, /compiling \.\.\. [\d.]+ s\n/);
});

test("a second start does nothing and says nothing", async (t) => {
  const root = createFreshClone(t);
  await start(root);
  const second = await start(root);
  assert.deepEqual(second.calls, []);
  assert.equal(second.stderr, "");
  assert.equal(second.code, 7);
});

test("a changed source compiles again, a changed lock file installs again", async (t) => {
  const root = createFreshClone(t);
  await start(root);
  utimesSync(join(root, "src", "old.ts"), new Date(1), new Date(1));
  assert.deepEqual((await start(root)).calls, ["tsc"]);
  const newer = { packages: { ...lock.packages, "node_modules/a": { version: "1.0.1" } } };
  writeFileSync(join(root, "package-lock.json"), JSON.stringify(newer));
  assert.deepEqual((await start(root)).calls, ["npm ci"]);
});

test("a missing optional package is accepted, a package of another platform is not", async (t) => {
  const root = createFreshClone(t);
  await start(root);
  const installed = join(root, "node_modules", ".package-lock.json");
  writeFileSync(installed, JSON.stringify({ packages: { "node_modules/a": { version: "1.0.0" } } }));
  assert.deepEqual((await start(root)).calls, []);
  const foreign = { version: "2.0.0", os: ["some-other-system"] };
  writeFileSync(installed, JSON.stringify({ packages: { ...lock.packages, "node_modules/b": foreign } }));
  assert.deepEqual((await start(root)).calls, ["npm ci"]);
});

test("the output of a removed source is removed", async (t) => {
  const root = createFreshClone(t);
  await start(root);
  assert.ok(existsSync(join(root, "dist", "src", "old.js")));
  rmSync(join(root, "src", "old.ts"));
  assert.deepEqual((await start(root)).calls, ["tsc"]);
  assert.ok(!existsSync(join(root, "dist", "src", "old.js")));
});

test("a failing step shows the command's own words, ends with 1 and is tried again", async (t) => {
  const root = createFreshClone(t);
  writeFileSync(join(root, "npm-fails"), "");
  const noNetwork = await start(root);
  assert.equal(noNetwork.code, 1);
  assert.match(noNetwork.stderr, /registry unreachable/);
  assert.equal(noNetwork.stdout, "");
  rmSync(join(root, "npm-fails"));
  writeFileSync(join(root, "tsc-fails"), "");
  const typeError = await start(root);
  assert.equal(typeError.code, 1);
  assert.match(typeError.stderr, /error TS1/);
  rmSync(join(root, "tsc-fails"));
  assert.equal((await start(root)).code, 7);
});

test("two starts at once prepare the folder once", async (t) => {
  const root = createFreshClone(t);
  const [first, second] = await Promise.all([start(root), start(root)]);
  assert.equal(first.code, 7);
  assert.equal(second.code, 7);
  assert.deepEqual(readFileSync(join(root, "calls.log"), "utf8"), "npm ci\ntsc\n");
});

test("the lock of a process that died is taken over", async (t) => {
  const root = createFreshClone(t);
  mkdirSync(join(root, ".headway"));
  writeFileSync(join(root, ".headway", "prepare.lock"), String(2 ** 22 + 1));
  assert.equal((await start(root)).code, 7);
  assert.ok(!existsSync(join(root, ".headway", "prepare.lock")));
});

test("an installed package has no sources and prepares nothing", async (t) => {
  const root = createFreshClone(t);
  await start(root);
  for (const path of ["src", "scripts", "tsconfig.json", "node_modules"])
    rmSync(join(root, path), { recursive: true });
  const installed = await start(root);
  assert.deepEqual(installed.calls, []);
  assert.equal(installed.code, 7);
});
