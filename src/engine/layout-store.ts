import { statSync } from "node:fs";
import { cpus } from "node:os";
import type { LayoutKnowledge } from "../../models/llama/load-runner.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { KeptJson } from "./kept-json.ts";

const FORMAT = 1;
/** Fewer tokens than this say nothing about what users share. */
const MIN_QUERY_TOKENS = 20_000;
/** Weight of the latest run. */
const LATEST_WEIGHT = 0.5;

/** Prompt tokens asked for, and those of them that were cached. */
export interface SharingSeen {
  readonly numPrefixQueryTokens: number;
  readonly numPrefixHitTokens: number;
}

/** Keeps between starts what the choice of a KV layout depends on: what each costs on this machine, and how much is shared. */
export class LayoutStore {
  readonly #kept: KeptJson;

  constructor(folder: string, settings: EngineSettings["runner"]) {
    this.#kept = new KeptJson(folder, "layout-", factsOf(settings));
  }

  load(): LayoutKnowledge {
    const { costs = null, sharedPart = null } =
      (this.#kept.load() as Partial<LayoutKnowledge> | null | undefined) ?? {};
    const isUsable = costs === null || Object.values(costs).every((value) => Number.isFinite(value));
    return { costs: isUsable ? costs : null, sharedPart: typeof sharedPart === "number" ? sharedPart : null };
  }

  save(known: LayoutKnowledge, { numPrefixQueryTokens, numPrefixHitTokens }: SharingSeen): void {
    const { costs } = known;
    if (numPrefixQueryTokens < MIN_QUERY_TOKENS) return this.#kept.save(known);
    const latest = numPrefixHitTokens / numPrefixQueryTokens;
    const earlier = known.sharedPart ?? latest;
    this.#kept.save({ costs, sharedPart: earlier + LATEST_WEIGHT * (latest - earlier) });
  }
}

/** A changed file is another model. */
function factsOf({ modelPath, ...settings }: EngineSettings["runner"]): unknown[] {
  const { size, mtimeMs } = statSync(modelPath);
  const { backend, numThreads, maxNumSeqs, cacheTypeK, cacheTypeV } = settings;
  const machine = [cpus()[0]?.model, cpus().length];
  return [FORMAT, size, mtimeMs, backend, numThreads, maxNumSeqs, cacheTypeK, cacheTypeV, ...machine];
}
