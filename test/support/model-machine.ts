import { join } from "node:path";

import type { ResolveOptions } from "../../models/store/resolve.ts";
import { resolveModel } from "../../models/store/resolve.ts";
import type { ResolvedModel } from "../../models/store/resolved-model.ts";
import type { NetworkTiming } from "../../models/store/store-context.ts";
import { RecordingProgress } from "./recording-progress.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** For servers on this machine, and for those that never answer. */
export const QUICK_TIMING: NetworkTiming = {
  connectTimeoutMs: 1000,
  answerTimeoutMs: 2000,
  stallTimeoutMs: 2000,
  retryDelayMs: 1,
};

/** A machine of its own for one test: empty caches, and only the environment that is given. */
export class ModelMachine {
  readonly home = temporaryFolder();
  readonly cacheDir = join(this.home, "cache");
  readonly progress = new RecordingProgress();
  readonly env: Record<string, string>;

  constructor(env: Record<string, string> = {}) {
    this.env = { HF_HOME: join(this.home, "hf"), PATH: join(this.home, "nothing"), ...env };
  }

  resolve(spec: string | null, changes: Partial<ResolveOptions> = {}): Promise<ResolvedModel> {
    const { cacheDir, progress, env } = this;
    const signal = new AbortController().signal;
    return resolveModel(spec, {
      cacheDir,
      progress,
      env,
      signal,
      timing: QUICK_TIMING,
      ...changes,
    });
  }
}
