import { statSync } from "node:fs";
import { cpus } from "node:os";
import type { LayoutCosts } from "../../models/layout-choice.ts";
import type { LayoutKnowledge } from "../../models/llama/load-runner.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { KeptJson } from "./kept-json.ts";

const FORMAT = 2;
/** So long a measurement counts as one of now: an engine that crashes comes back as it was. */
const FRESH_MS = 3_600_000;
/** Fewer tokens than this say nothing about what users share. */
const MIN_QUERY_TOKENS = 20_000;
/** Weight of the latest run. */
const LATEST_WEIGHT = 0.5;

type KeptFacts = Partial<LayoutKnowledge & { readonly measuredAtMs: number }>;

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

  /** Costs only while they are fresh: what disturbed a measurement must not decide for ever. */
  load(): LayoutKnowledge {
    const { costs = null, sharedPart = null, measuredAtMs = 0 } = this.#read();
    const isFresh = Math.abs(Date.now() - measuredAtMs) < FRESH_MS;
    const isUsable = costs !== null && Object.values(costs).every((value) => Number.isFinite(value));
    return {
      costs: isFresh && isUsable ? costs : null,
      sharedPart: typeof sharedPart === "number" ? sharedPart : null,
    };
  }

  /** `costs` as just measured, or null where nothing was. */
  saveCosts(costs: LayoutCosts | null): void {
    if (costs !== null) this.#kept.save({ ...this.#read(), costs, measuredAtMs: Date.now() });
  }

  saveSharing({ numPrefixQueryTokens, numPrefixHitTokens }: SharingSeen): void {
    if (numPrefixQueryTokens < MIN_QUERY_TOKENS) return;
    const latest = numPrefixHitTokens / numPrefixQueryTokens;
    const earlier = this.load().sharedPart ?? latest;
    this.#kept.save({ ...this.#read(), sharedPart: earlier + LATEST_WEIGHT * (latest - earlier) });
  }

  #read(): KeptFacts {
    return (this.#kept.load() as KeptFacts | null | undefined) ?? {};
  }
}

/** A changed file is another model. */
function factsOf({ modelPath, ...settings }: EngineSettings["runner"]): unknown[] {
  const { size, mtimeMs } = statSync(modelPath);
  const { backend, numThreads, maxNumSeqs, cacheTypeK, cacheTypeV } = settings;
  const machine = [cpus()[0]?.model, cpus().length];
  return [FORMAT, size, mtimeMs, backend, numThreads, maxNumSeqs, cacheTypeK, cacheTypeV, ...machine];
}
