// Entry of the child process in which `headway doctor` loads native code: it may crash there, and say so by its end.
import { listDevices, loadLibrary, type Device } from "../../models/llama/library.ts";
import type { Backend } from "../../models/model-info.ts";

export type BackendProbe =
  | {
      readonly ok: true;
      readonly backend: Backend;
      readonly packageName: string;
      readonly version: string;
      /** Why better backends were passed over. */
      readonly notes: readonly string[];
      readonly devices: readonly Device[];
    }
  | { readonly ok: false; readonly reason: string };

function probe(backend: Backend | "auto"): BackendProbe {
  try {
    const library = loadLibrary({ backend, logger: () => {} });
    const { packageName, version, notes } = library;
    return {
      ok: true,
      backend: library.backend,
      packageName,
      version,
      notes,
      devices: listDevices(library.ggml),
    };
  } catch (error) {
    return { ok: false, reason: (error as Error).message };
  }
}

process.send?.(probe(process.argv[2] as Backend | "auto"), () => process.disconnect());
