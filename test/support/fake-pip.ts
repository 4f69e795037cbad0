import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Puts an executable named pip into a new folder for PATH. It notes its arguments and the folder for
 * temporary files, then leaves `wheel` in the --dest folder, or fails as pip does where that is null.
 */
export function installFakePip(dir: string, wheel: Buffer | null): { binDir: string; notePath: string } {
  const binDir = join(dir, "bin");
  const notePath = join(dir, "pip-calls.json");
  mkdirSync(binDir, { recursive: true });
  writeFileSync(join(dir, "package.whl"), wheel ?? "");
  const script = `#!${process.execPath}
const fs = require("node:fs");
const path = require("node:path");
const args = process.argv.slice(2);
fs.writeFileSync(${JSON.stringify(notePath)}, JSON.stringify({ args, temporary: process.env.TMPDIR }));
if (${wheel === null}) {
  console.error("Looking in indexes: https://user:secret@mirror.invalid/simple");
  console.error("ERROR: No matching distribution found at https://user:secret@mirror.invalid/simple");
  process.exit(1);
}
const dest = args[args.indexOf("--dest") + 1];
fs.copyFileSync(${JSON.stringify(join(dir, "package.whl"))}, path.join(dest, "tiny-1.0-py3-none-any.whl"));
`;
  writeFileSync(join(binDir, "pip"), script);
  chmodSync(join(binDir, "pip"), 0o755);
  return { binDir, notePath };
}

/**
 * A pip behind a script, as version managers have it, that ignores polite signals and fills its temporary folder until
 * it is killed; it notes its process id.
 */
export function installEndlessPip(dir: string): { binDir: string; notePath: string } {
  const binDir = join(dir, "bin");
  const notePath = join(dir, "pip-pid");
  mkdirSync(binDir, { recursive: true });
  const script = `
const fs = require("node:fs");
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => undefined);
fs.writeFileSync(${JSON.stringify(notePath)}, String(process.pid));
let count = 0;
const write = () => {
  fs.mkdirSync(process.env.TMPDIR, { recursive: true });
  fs.writeFileSync(process.env.TMPDIR + "/" + count++, "x");
};
setInterval(write, 1);
`;
  writeFileSync(join(dir, "endless.cjs"), script);
  const wrapper = `#!/bin/sh\n"${process.execPath}" "${join(dir, "endless.cjs")}"\nexit $?\n`;
  writeFileSync(join(binDir, "pip"), wrapper, { mode: 0o755 });
  return { binDir, notePath };
}
