import type { SchedulerStats } from "../../scheduler/contracts.ts";

/** Of an engine that has not been heard of yet. */
export const NO_STATS: SchedulerStats = {
  numRunning: 0,
  numWaiting: 0,
  numWaitingTokens: 0,
  blocks: { total: 0, free: 0, cached: 0, used: 0 },
  hostBlocks: { total: 0, used: 0 },
  numDiskBlocks: 0,
  numPreemptions: 0,
  numParks: 0,
  numPromptTokensComputed: 0,
  numPromptTokensCached: 0,
  numPrefixQueryTokens: 0,
  numPrefixHitTokens: 0,
  numHostHitTokens: 0,
  numDiskHitTokens: 0,
  numGeneratedTokens: 0,
};
