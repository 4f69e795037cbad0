import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runStep } from "./run-step.mjs";

/**
 * Whether node_modules holds what package-lock.json asks for. npm ends an installation by writing
 * node_modules/.package-lock.json, so an interrupted one counts as missing. The Node version does not
 * matter: every native module we use is built on Node-API.
 */
export function isInstalled(root) {
  const wanted = readPackages(join(root, "package-lock.json"));
  const present = readPackages(join(root, "node_modules", ".package-lock.json"));
  if (!wanted || !present) return false;
  return (
    Object.entries(wanted).every(
      ([path, entry]) => path === "" || entry.optional || present[path]?.version === entry.version,
    ) && Object.values(present).every(fitsThisMachine)
  );
}

export async function install(root) {
  await runStep(
    "installing dependencies (npm ci)",
    "npm",
    ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"],
    { cwd: root, shell: process.platform === "win32" },
  );
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/** False for packages of another platform: node_modules was copied or mounted from there. */
function fitsThisMachine(entry) {
  return allows(entry.os, process.platform) && allows(entry.cpu, process.arch);
}

function allows(list, value) {
  if (!list) return true;
  return list.includes(value) || (list.some((item) => item.startsWith("!")) && !list.includes(`!${value}`));
}
