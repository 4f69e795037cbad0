import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type {
  Batch,
  BatchResult,
  SequenceEvent,
  SequenceRequest,
  StepPlan,
} from "../../scheduler/contracts.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";
import { BatchFillingPolicy } from "./batch-filling-policy.ts";
import type { MachineParameters } from "./machine.ts";

/** What the simulator asks of a scheduler; `Scheduler` itself is one. */
export interface Policy {
  add(request: SequenceRequest, nowMs: number): void;
  schedule(nowMs: number): StepPlan | null;
  update(batch: Batch, result: BatchResult, nowMs: number, durationMs: number): SequenceEvent[];
  /** Learns how long copies take, where that matters to it. */
  readonly copyTimes?: { observe(cacheOps: StepPlan["cacheOps"], durationMs: number): void };
}

export const POLICIES = ["headway", "fcfs", "fill"] as const;
export type PolicyName = (typeof POLICIES)[number];

export const POLICY_HELP: Record<PolicyName, string> = {
  headway: "the scheduler of this project, as it is",
  fcfs: "arrival order, prompts in one shot up to --fcfs-batch tokens a call, as llama-server does",
  fill: "arrival order, every call filled up to --fill-budget tokens, as vLLM and Sarathi-Serve do",
};

export interface PolicyOptions {
  /** Null lets Headway choose. */
  readonly targetItlMs: number | null;
  readonly fcfsBatch: number;
  readonly fillBudget: number;
}

/** llama-server's default n_batch; the stricter of the two budgets that Sarathi-Serve (OSDI '24) reports. */
export const DEFAULT_POLICY_OPTIONS: PolicyOptions = { targetItlMs: null, fcfsBatch: 2_048, fillBudget: 512 };

/** A policy and the memory it drives. All policies get the same memory, prefix cache included. */
export function createPolicy(
  name: PolicyName,
  machine: MachineParameters,
  options: PolicyOptions,
): { readonly policy: Policy; readonly kv: KvCacheManager } {
  const { numBlocks, blockSize, numSeqIds, maxCachedBlocks, maxHostBlocks, maxNumSeqs } = machine;
  const kv = new KvCacheManager({
    numBlocks,
    blockSize,
    numSeqIds,
    maxCachedBlocks,
    maxHostBlocks,
    canShare: true,
    canTrim: true,
  });
  if (name === "headway") return { policy: createScheduler(kv, machine, options.targetItlMs), kv };
  const maxNumBatchedTokens = name === "fcfs" ? options.fcfsBatch : options.fillBudget;
  return { policy: new BatchFillingPolicy({ maxNumSeqs, maxNumBatchedTokens }, kv), kv };
}

function createScheduler(
  kv: KvCacheManager,
  { maxNumSeqs, maxNumBatchedTokens, maxModelLen }: MachineParameters,
  targetItlMs: number | null,
): Scheduler {
  return new Scheduler({ maxNumSeqs, maxNumBatchedTokens, maxModelLen, targetItlMs, eogTokenIds: [] }, kv);
}
