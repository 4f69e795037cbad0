import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import { LibraryError } from "../../models/llama/library.ts";
import { MAX_ROW_MULTIPLE } from "../../models/llama/compose-calls.ts";
import { loadRunner, type LayoutKnowledge, type LoadedRunner } from "../../models/llama/load-runner.ts";
import type { LlamaModelRunner } from "../../models/llama/runner.ts";
import { ModelLoadError } from "../../models/llama/model-load-error.ts";
import { MemoryPlanError } from "../../models/memory-plan.ts";
import { probeRam } from "../../models/memory-probe.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";
import { attachDiskTier, type AttachDiskTierOptions, type AttachedDiskTier } from "./attach-disk-tier.ts";
import { findNondeterminism } from "./check-determinism.ts";
import { type CopyCost, isCopyWorthIt, measureCopyCost } from "./copy-cost.ts";
import { ModelRefusedError, runEngineProcess, type LoadedEngine } from "./engine-process.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { GovernedRunner } from "./governed-runner.ts";
import { describeHostTier, kvCacheOptions } from "./kv-cache-options.ts";
import { LayoutStore } from "./layout-store.ts";
import { learnStepTimes } from "./learn-step-times.ts";
import { circumstances, type StartMeasurements, stillValid } from "./start-measurements.ts";
import { StepTimeStore } from "./step-time-store.ts";
import type { FromEngine } from "./protocol.ts";

/** Tokens of a sequence for which the target is told at start. */
const TYPICAL_LENGTH = 512;

interface LoadOptions {
  readonly send: (message: FromEngine) => void;
  readonly settings: EngineSettings;
  /** By the engine that this one replaces. */
  readonly measured: StartMeasurements | null;
}

function load({ send, settings, measured }: LoadOptions): LoadedEngine {
  const layouts =
    settings.stepTimesDir === null ? null : new LayoutStore(settings.stepTimesDir, settings.runner);
  const kept = layouts?.load() ?? { costs: null, sharedPart: null };
  const layoutKnowledge = { ...kept, costs: measured?.layoutCosts ?? kept.costs };
  const { runner, notes, layoutCosts } = loadOrRefuse(send, settings, layoutKnowledge);
  const { info } = runner;
  const known = stillValid(measured, info);
  const rowMultiple = info.isDeterministic ? requireDeterminism(runner, known) : null;
  const { cacheOptions, copyCost, note: cacheNote } = planCache(runner, settings, known);
  const kvCache = new KvCacheManager(cacheOptions);
  const scheduler = new Scheduler(
    {
      maxNumSeqs: info.maxNumSeqs,
      maxNumBatchedTokens: info.maxNumBatchedTokens,
      maxModelLen: info.maxModelLen,
      targetItlMs: settings.targetItlMs,
      isDeterministic: info.isDeterministic,
      eogTokenIds: info.eogTokenIds,
    },
    kvCache,
  );
  layouts?.saveCosts(layoutCosts);
  const governed = new GovernedRunner(runner, (numThreads, reason) => {
    send({ type: "threads", numThreads, reason });
  });
  const saveStepTimes = learnStepTimes({
    runner: governed,
    stepTimes: scheduler.stepTimes,
    known: known?.stepTimes ?? null,
    store: settings.stepTimesDir === null ? null : new StepTimeStore(settings.stepTimesDir, info),
    now: () => performance.now(),
  });
  // Calibration leaves the memory empty, so it comes first.
  const disk = keepPrefixes(runner, { host: kvCache.host, stepTimes: scheduler.stepTimes }, settings);
  return {
    runner: governed,
    scheduler,
    notes: [
      ...notes,
      cacheNote,
      ...(disk?.notes ?? []),
      describeTarget(info, scheduler, settings.targetItlMs),
    ],
    measured: {
      on: circumstances(info),
      layoutCosts: layoutCosts ?? layoutKnowledge.costs,
      copyCost,
      rowMultiple,
      // Beside other load they are not this machine's.
      stepTimes: governed.numThreads === info.numThreads ? scheduler.stepTimes.snapshot() : null,
    },
    onStep: (wake) => disk?.fetch(wake),
    onShutdown: () => {
      saveStepTimes();
      layouts?.saveSharing(scheduler.stats());
      disk?.flush();
    },
  };
}

/** The disk keeps copies of what host memory holds, so it needs some. */
function keepPrefixes(
  runner: LlamaModelRunner,
  { host, stepTimes }: Pick<AttachDiskTierOptions, "host" | "stepTimes">,
  { disk, runner: { modelPath } }: EngineSettings,
): AttachedDiskTier | null {
  if (!host.isOn || disk.maxBytes === 0) return null;
  return attachDiskTier({ disk, modelPath, runner, host, stepTimes });
}

/** Host memory is used where parking a sequence there is cheaper than computing it again, or where it is asked for. */
function planCache(
  runner: ModelRunner,
  settings: EngineSettings,
  known: StartMeasurements | null,
): { readonly cacheOptions: KvCacheOptions; readonly copyCost: CopyCost | null; readonly note: string } {
  const { info } = runner;
  const wanted = kvCacheOptions(info, settings, probeRam().freeBytes);
  const measure = (): CopyCost => known?.copyCost ?? measureCopyCost(runner, () => performance.now());
  const copyCost = wanted.maxHostBlocks === 0 ? null : measure();
  const isAskedFor = settings.hostMemoryBytes !== null;
  const isWorthIt = copyCost !== null && (isAskedFor || isCopyWorthIt(copyCost));
  const cacheOptions = isWorthIt ? wanted : kvCacheOptions(info, { ...settings, hostMemoryBytes: 0 }, 0);
  const note = describeHostTier(info, cacheOptions.maxHostBlocks ?? 0, copyCost);
  return { cacheOptions, copyCost, note };
}

/** Padding costs time, so no more of it than the kernels of this model need. Returns the multiple of rows. */
function requireDeterminism(runner: LlamaModelRunner, known: StartMeasurements | null): number {
  let cause: string | null = null;
  for (const rowMultiple of [known?.rowMultiple ?? 2, MAX_ROW_MULTIPLE]) {
    runner.setRowMultiple(rowMultiple);
    cause = rowMultiple === known?.rowMultiple ? null : findNondeterminism(runner);
    if (cause === null) return rowMultiple;
  }
  throw new ModelRefusedError(
    `--deterministic cannot be kept with this model on ${runner.info.backend}: ${cause} changed results; other weights or --backend cpu may do.`,
  );
}

function loadOrRefuse(
  send: (message: FromEngine) => void,
  settings: EngineSettings,
  layoutKnowledge: LayoutKnowledge | null,
): LoadedRunner {
  try {
    return loadRunner({
      ...settings.runner,
      layoutKnowledge,
      logger: (level, message) => {
        send({ type: "log", level, message });
      },
      onProgress: (progress) => {
        send({ type: "loading", progress });
      },
    });
  } catch (error) {
    const isRefusal =
      error instanceof ModelLoadError || error instanceof LibraryError || error instanceof MemoryPlanError;
    throw isRefusal ? new ModelRefusedError(error.message) : error;
  }
}

function describeTarget(
  info: ModelInfo,
  { stepTimes, prefillPace }: Scheduler,
  targetItlMs: number | null,
): string {
  const full = { numDecodeRows: info.maxNumSeqs, usedTokens: info.maxNumSeqs * TYPICAL_LENGTH };
  const decodeMs = stepTimes.decodeMs(full).toFixed(1);
  const chosenMs = (targetItlMs ?? prefillPace.defaultItlMs(full)).toFixed(0);
  const why = targetItlMs === null ? "where the curve of prefill speed bends" : "as asked";
  return `ITL target ${chosenMs} ms with all ${info.maxNumSeqs} rows busy (${why}); a step that only decodes takes ${decodeMs} ms`;
}

const settings = JSON.parse(process.argv[2] ?? "{}") as EngineSettings;
const measured = JSON.parse(process.argv[3] ?? "null") as StartMeasurements | null;
await runEngineProcess(async (send) => load({ send, settings, measured }));
