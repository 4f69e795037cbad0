import path from "node:path";
import koffi from "koffi";
import type { Backend } from "../model-info.ts";
import { DeviceType, LLAMA_VERSION } from "./abi.ts";
import { findAbiMismatches } from "./abi-check.ts";
import type { BackendPackage } from "./backend-package.ts";
import { backendsOf, findBackendPackage, findMissingSystemLibrary } from "./backend-package.ts";
import type { GgmlFunctions, LlamaFunctions } from "./functions.ts";
import { bindGgml, bindLlama } from "./functions.ts";
import type { LibraryLogger } from "./library-log.ts";
import { LibraryLog } from "./library-log.ts";

/** No backend can be loaded, or the library is not the one this code was written for. One sentence. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
}

export interface Device {
  readonly name: string;
  readonly description: string;
  readonly isGpu: boolean;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** libllama and ggml, loaded and checked. */
export interface LlamaLibrary {
  readonly llama: LlamaFunctions;
  readonly ggml: GgmlFunctions;
  readonly log: LibraryLog;
  readonly backend: Backend;
  readonly packageName: string;
  readonly version: string;
  /** Why better backends were passed over, one sentence each. */
  readonly notes: readonly string[];
}

export interface LibraryOptions {
  readonly backend: Backend | "auto";
  readonly logger: LibraryLogger;
}

interface Choice {
  readonly backend: Backend;
  readonly package: BackendPackage;
  readonly notes: readonly string[];
}

let loaded: LlamaLibrary | null = null;

/**
 * Loads the library once a process; ggml keeps global state, so a second call returns the first one's result.
 * "auto" takes the best backend that this machine can run; a backend asked for by name is never replaced.
 */
export function loadLibrary(options: LibraryOptions): LlamaLibrary {
  if (loaded !== null) {
    loaded.log.logger = options.logger;
    return loaded;
  }
  const choice = chooseBackend(options.backend);
  const library = open(choice.package, options.logger);
  library.ggml.ggml_backend_load_all_from_path(choice.package.directory);
  const notes = [...choice.notes];
  let { backend } = choice;
  if (backend !== "cpu" && !listDevices(library.ggml).some((device) => device.isGpu)) {
    if (options.backend !== "auto") {
      throw new LibraryError(`The ${backend} backend was loaded but found no device.`);
    }
    notes.push(`${backend}: no device found`);
    backend = "cpu";
  }
  library.llama.llama_backend_init();
  loaded = { ...library, backend, packageName: choice.package.name, version: LLAMA_VERSION, notes };
  return loaded;
}

/**
 * The library without compute backends: enough for vocabularies.
 * (llama_backend_init is left out: with no backend it would look for some in the working directory.)
 */
export function loadVocabularyLibrary(logger: LibraryLogger): Pick<LlamaLibrary, "llama" | "log"> {
  const reasons: string[] = [];
  for (const backend of backendsOf(process.platform, process.arch).toReversed()) {
    const found = findBackendPackage(backend);
    if (typeof found !== "string") return loaded ?? open(found, logger);
    reasons.push(`${backend}: ${found}`);
  }
  throw new LibraryError(`No build of libllama can be used: ${reasons.join("; ")}.`);
}

/** Compute devices of a loaded library, with their memory right now. */
export function listDevices(ggml: GgmlFunctions): Device[] {
  const free = new BigUint64Array(1);
  const total = new BigUint64Array(1);
  return Array.from({ length: ggml.ggml_backend_dev_count() }, (_, index) => {
    const device = ggml.ggml_backend_dev_get(index);
    const type = ggml.ggml_backend_dev_type(device);
    ggml.ggml_backend_dev_memory(device, free, total);
    return {
      name: ggml.ggml_backend_dev_name(device),
      description: ggml.ggml_backend_dev_description(device),
      isGpu: type === DeviceType.gpu || type === DeviceType.integratedGpu,
      freeBytes: Number(free[0]),
      totalBytes: Number(total[0]),
    };
  });
}

function chooseBackend(wanted: Backend | "auto"): Choice {
  const candidates = wanted === "auto" ? backendsOf(process.platform, process.arch) : [wanted];
  const notes: string[] = [];
  for (const backend of candidates) {
    const found = findBackendPackage(backend);
    const problem = typeof found === "string" ? found : findMissingSystemLibrary(backend);
    if (problem === null && typeof found !== "string") return { backend, package: found, notes };
    notes.push(`${backend}: ${problem}`);
  }
  const subject = wanted === "auto" ? "No backend" : `The ${wanted} backend`;
  throw new LibraryError(
    wanted === "auto"
      ? `${subject} can be used: ${notes.join("; ")}.`
      : `${subject} cannot be used: ${notes.join("; ").slice(wanted.length + 2)}.`,
  );
}

type OpenLibrary = Pick<LlamaLibrary, "llama" | "ggml" | "log">;

function open(files: BackendPackage, logger: LibraryLogger): OpenLibrary {
  const base = koffi.load(files.ggmlBasePath);
  const ggml = bindGgml([koffi.load(files.ggmlPath), base]);
  const llama = bindLlama([koffi.load(files.llamaPath)]);
  const mismatches = findAbiMismatches(llama, ggml);
  if (mismatches.length > 0) {
    const name = path.basename(files.llamaPath);
    throw new LibraryError(
      `${name} is not the library this version was built for: ${mismatches.join("; ")}.`,
    );
  }
  const log = new LibraryLog(logger);
  llama.llama_log_set(log.callback, null);
  return { llama, ggml, log };
}
