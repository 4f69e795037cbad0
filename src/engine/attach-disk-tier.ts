import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import path from "node:path";
import type { HostTier } from "../../kvcache/host-tier.ts";
import type { LlamaModelRunner } from "../../models/llama/runner.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { StepTimeModel } from "../../scheduler/step-time-model.ts";
import { DiskTier } from "./disk-tier.ts";
import { removeForgotten } from "./forgotten-prefixes.ts";

export interface DiskSettings {
  /** Parent of a folder for each model and its settings. */
  readonly folder: string;
  readonly maxBytes: number;
}

export interface AttachDiskTierOptions {
  readonly disk: DiskSettings;
  readonly modelPath: string;
  readonly runner: LlamaModelRunner;
  readonly host: HostTier;
  readonly stepTimes: StepTimeModel;
}

export interface AttachedDiskTier {
  /** Lines for the operator. */
  readonly notes: readonly string[];
  /** Reads what the last step asked for, and calls back when it has come. */
  readonly fetch: (onRead: () => void) => void;
  /** Writes what is pinned and not yet written; for the end of the process. */
  readonly flush: () => void;
}

/** Of the files; another one is not read. */
const FORMAT = 3;
const SYNC_INTERVAL_MS = 1000;
const HEAD_BYTES = 1 << 20;

/** Of a prompt whose pace is typical, in tokens. */
const TYPICAL_PROMPT = 512;

/** Finds the prefixes that earlier runs kept, and keeps those of this run from now on. */
export function attachDiskTier({
  disk,
  modelPath,
  runner,
  host,
  stepTimes,
}: AttachDiskTierOptions): AttachedDiskTier {
  const identity = identityOf(modelPath, runner.info);
  removeForgotten(disk.folder);
  const tier = new DiskTier({
    folder: path.join(disk.folder, identity),
    maxBytes: disk.maxBytes,
    identity,
    host,
    copies: runner,
    blockSize: runner.info.kvPool.blockSize,
    computeMsPerToken: () => stepTimes.prefillMs(TYPICAL_PROMPT, 0) / TYPICAL_PROMPT,
    now: () => performance.now(),
  });
  const numTokens = tier.load();
  // Its turn comes between two steps, when nothing computes.
  setInterval(() => void tier.sync(), SYNC_INTERVAL_MS).unref();
  return {
    notes: numTokens === 0 ? [] : [`${numTokens} tokens of pinned prefixes found on disk`],
    fetch: (onRead) => {
      tier.fetch(onRead);
    },
    flush: () => tier.flush(),
  };
}

/** Changes whenever the bytes of a KV state could mean something else. */
function identityOf(
  modelPath: string,
  { libraryVersion, backend, flashAttention, isDeterministic, kvLayout, maxNumSeqs, kvPool }: ModelInfo,
): string {
  const { blockSize, bytesPerToken, cacheTypeK, cacheTypeV } = kvPool;
  // The state of one stream says how many there are.
  const layout = kvLayout === "paged" ? kvLayout : [kvLayout, maxNumSeqs];
  const kvFacts = [layout, blockSize, bytesPerToken, cacheTypeK, cacheTypeV];
  // The last bits of what another mode has computed are others.
  const facts = [FORMAT, libraryVersion, backend, flashAttention, isDeterministic, ...kvFacts];
  const hash = createHash("sha256").update(JSON.stringify(facts));
  const file = openSync(modelPath, "r");
  try {
    const { size, mtimeMs } = fstatSync(file);
    const head = Buffer.alloc(HEAD_BYTES);
    hash.update(`${size} ${mtimeMs}`).update(head.subarray(0, readSync(file, head, 0, HEAD_BYTES, 0)));
  } finally {
    closeSync(file);
  }
  return hash.digest("hex").slice(0, 32);
}
