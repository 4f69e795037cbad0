#!/usr/bin/env node
// Starts the compiled command line in this process, so that signals and exit codes need no relay.
// In a checkout it first installs and compiles what is missing; an installed package has nothing to prepare.
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function supportsThisNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  return major > 20 || (major === 20 && minor >= 11);
}

async function main() {
  if (!supportsThisNode()) {
    process.stderr.write(`headway needs Node.js 20.11 or newer; this is ${process.version}\n`);
    return 1;
  }
  if (existsSync(new URL("../tsconfig.json", import.meta.url))) {
    const { prepareOrExplain } = await import("../scripts/prepare.mjs");
    if (!(await prepareOrExplain(root))) return 1;
  }
  const cli = await import("../dist/src/cli/main.js");
  return cli.main(process.argv.slice(2));
}

process.exitCode = (await main()) || process.exitCode;
