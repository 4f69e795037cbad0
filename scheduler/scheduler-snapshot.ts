import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import type { BlockCounts, SequenceStatus } from "./contracts.ts";
import type { Roster } from "./roster.ts";
import type { Sequence } from "./sequence.ts";
import type { TurnOrder } from "./urgency.ts";

/** Waiting sequences that a snapshot shows; more would only make the answer long. */
const MAX_WAITING = 100;

/** A sequence at one moment, without a word of its text. */
export interface SequenceSnapshot {
  readonly requestId: string;
  readonly tenantId: string;
  readonly priority: number;
  readonly status: SequenceStatus;
  readonly isPaused: boolean;
  readonly ageMs: number;
  readonly numPromptTokens: number;
  readonly numTokens: number;
  readonly numComputedTokens: number;
  /** Of its table, shared ones included; 0 unless running. */
  readonly numBlocks: number;
}

/** Weighted tokens that a tenant has been served; see VirtualTokenCounters. */
export interface TenantSnapshot {
  readonly tenantId: string;
  readonly service: number;
  readonly numRunning: number;
  readonly numWaiting: number;
  /** In the tables of its running sequences. */
  readonly numBlocks: number;
}

export interface SchedulerSnapshot {
  /** Of those that run, by sequence id. */
  readonly running: readonly SequenceSnapshot[];
  /** The first of those that wait, in the order of turns. */
  readonly waiting: readonly SequenceSnapshot[];
  readonly numWaiting: number;
  readonly tenants: readonly TenantSnapshot[];
  readonly blocks: BlockCounts;
}

export interface SnapshotParts {
  readonly roster: Roster;
  readonly kv: KvCacheManager;
  readonly order: TurnOrder;
}

/** Costs time in proportion to what is unfinished, so it is taken only when somebody asks. */
export function takeSnapshot({ roster, kv, order }: SnapshotParts, nowMs: number): SchedulerSnapshot {
  const { running } = roster;
  const waiting = [...roster.sequences].filter((sequence) => sequence.status !== "running");
  const numBlocks = (sequence: Sequence): number =>
    sequence.status === "running" ? kv.numBlocksOf(sequence.seqId) : 0;
  const describe = (sequence: Sequence): SequenceSnapshot => ({
    requestId: sequence.requestId,
    tenantId: sequence.account.tenantId,
    priority: sequence.priority,
    status: sequence.status,
    isPaused: sequence.isPaused,
    ageMs: nowMs - sequence.arrivalMs,
    numPromptTokens: sequence.numPromptTokens,
    numTokens: sequence.tokens.length,
    numComputedTokens: sequence.status === "running" ? sequence.numComputedTokens : 0,
    numBlocks: numBlocks(sequence),
  });
  return {
    running: running.bySeqId.map(describe),
    waiting: waiting
      .toSorted((left, right) => order.compare(left, right))
      .slice(0, MAX_WAITING)
      .map(describe),
    numWaiting: waiting.length,
    tenants: describeTenants(roster.sequences, numBlocks),
    blocks: kv.counts(),
  };
}

function describeTenants(
  sequences: Iterable<Sequence>,
  numBlocksOf: (sequence: Sequence) => number,
): TenantSnapshot[] {
  const tenants = new Map<string, { -readonly [K in keyof TenantSnapshot]: TenantSnapshot[K] }>();
  for (const sequence of sequences) {
    const { tenantId, counter } = sequence.account;
    const tenant = tenants.get(tenantId) ?? {
      tenantId,
      service: counter,
      numRunning: 0,
      numWaiting: 0,
      numBlocks: 0,
    };
    tenants.set(tenantId, tenant);
    if (sequence.status === "running") tenant.numRunning += 1;
    else tenant.numWaiting += 1;
    tenant.numBlocks += numBlocksOf(sequence);
  }
  return [...tenants.values()];
}
