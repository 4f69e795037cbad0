import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import koffi from "koffi";
import type { Backend } from "../model-info.ts";

/** The only release of the packages whose library matches abi.ts. */
export const PACKAGE_VERSION = "3.21.1";

const PLATFORM_NAMES: Readonly<Record<string, string>> = { linux: "linux", darwin: "mac", win32: "win" };

/** Libraries of the system that a backend needs besides its package: without them it cannot even be loaded. */
const SYSTEM_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  "linux cuda": ["libcuda.so.1", "libcudart.so.13", "libcublas.so.13"],
  "win32 cuda": ["nvcuda.dll"],
  "linux vulkan": ["libvulkan.so.1"],
  "win32 vulkan": ["vulkan-1.dll"],
};

/** The files of one backend's package, absolute. */
export interface BackendPackage {
  readonly name: string;
  readonly directory: string;
  readonly llamaPath: string;
  readonly ggmlPath: string;
  readonly ggmlBasePath: string;
}

/** Backends this platform could have, best first. */
export function backendsOf(platform: string, arch: string): readonly Backend[] {
  if (platform === "darwin" && arch === "arm64") return ["metal", "cpu"];
  if (arch === "x64" && (platform === "linux" || platform === "win32")) return ["cuda", "vulkan", "cpu"];
  return ["cpu"];
}

function packageName(backend: Backend): string {
  const platform = PLATFORM_NAMES[process.platform] ?? process.platform;
  const suffix = backend === "cpu" ? "" : `-${backend}`;
  // The one package of Apple silicon carries both the Metal and the CPU backend.
  const isAppleSilicon = process.platform === "darwin" && process.arch === "arm64";
  return `@node-llama-cpp/${platform}-${process.arch}${isAppleSilicon ? "-metal" : suffix}`;
}

/** Finds the package's files, or returns the reason why there are none. */
export function findBackendPackage(backend: Backend): BackendPackage | string {
  const name = packageName(backend);
  let manifestPath: string;
  try {
    manifestPath = path.join(packageDirectory(name), "package.json");
  } catch {
    return `the package ${name} is not installed`;
  }
  const { version } = JSON.parse(readFileSync(manifestPath, "utf8")) as { version: string };
  if (version !== PACKAGE_VERSION) return `${name} is version ${version}, not ${PACKAGE_VERSION}`;
  const directory = path.join(path.dirname(manifestPath), "bins", name.slice(name.indexOf("/") + 1));
  return findLibraries(name, directory) ?? `${name} does not hold the expected libraries`;
}

/** The packages export only their entry point, so its place tells where the package is. */
function packageDirectory(name: string): string {
  const entryPath = createRequire(import.meta.url).resolve(name);
  return path.dirname(path.dirname(entryPath));
}

function findLibraries(name: string, directory: string): BackendPackage | null {
  if (!existsSync(directory)) return null;
  const files = readdirSync(directory);
  const find = (pattern: RegExp): string | undefined => files.find((file) => pattern.test(file));
  const llama = find(/^(lib)?llama\..*v[\d.]+\.(so|dylib|dll)$/);
  const ggml = find(/^(lib)?ggml\..*v[\d.]+\.(so|dylib|dll)$/);
  const ggmlBase = find(/^(lib)?ggml-base\.(so|dylib|dll)$/);
  if (llama === undefined || ggml === undefined || ggmlBase === undefined) return null;
  return {
    name,
    directory,
    llamaPath: path.join(directory, llama),
    ggmlPath: path.join(directory, ggml),
    ggmlBasePath: path.join(directory, ggmlBase),
  };
}

/**
 * Why the backend cannot run here as far as the system goes, or null. Asked before ggml is loaded, since a process
 * can hold only one copy of it: falling back afterwards would be too late for another package.
 */
export function findMissingSystemLibrary(backend: Backend): string | null {
  for (const name of SYSTEM_LIBRARIES[`${process.platform} ${backend}`] ?? []) {
    try {
      koffi.load(name);
    } catch {
      return `${name} is not on this system`;
    }
  }
  return null;
}
