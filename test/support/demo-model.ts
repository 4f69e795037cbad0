import { fileURLToPath } from "node:url";
import type { LoadRunnerOptions } from "../../models/llama/load-runner.ts";
import { DEFAULT_RUNNER_OPTIONS } from "../../models/llama/load-runner.ts";

/** A file of models/demo. Compiled tests lie one folder deeper than their sources. */
export function demoModelPath(name = "headway-demo.gguf"): string {
  return fileURLToPath(new URL(`../../../models/demo/${name}`, import.meta.url));
}

/** One compute thread, since tests share their cores, and a small pool. */
export function testRunnerOptions(modelPath: string): LoadRunnerOptions {
  return {
    ...DEFAULT_RUNNER_OPTIONS,
    modelPath,
    modelId: "test",
    backend: "cpu",
    numThreads: 1,
    maxModelLen: 512,
    // Not what the load of the machine makes of it.
    kvLayout: "paged",
    logger: () => undefined,
  };
}
