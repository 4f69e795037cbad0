import type { Tenant } from "../load/request.ts";
import type { LengthDistribution } from "./length-distribution.ts";

export const WORKLOAD_NAMES = [
  "random",
  "lognormal",
  "shared-prefix",
  "multi-turn",
  "intruder",
  "tenants",
  "json-schema",
  "trace",
  "prompts",
] as const;

export type WorkloadName = (typeof WORKLOAD_NAMES)[number];

export interface WeightedTenant extends Tenant {
  weight: number;
}

/** Describes a workload completely; with the seed it always yields the same sessions. */
export interface WorkloadOptions {
  name: WorkloadName;
  seed: number;
  inputTokens: LengthDistribution;
  outputTokens: LengthDistribution;
  tenants: readonly WeightedTenant[];
  schema: object | null;
  /** shared-prefix: tokens and number of the shared prefixes. */
  prefixTokens: number;
  numPrefixes: number;
  /** multi-turn: requests in a conversation and the pause between them. */
  turns: number;
  thinkMs: number;
  /** intruder: every n-th request has a prompt of this length. */
  intruderEvery: number;
  intruderTokens: number;
  /** trace, prompts: the file; lengths are multiplied by `scaleLength` and times by `scaleTime`. */
  file: string | null;
  scaleLength: number;
  scaleTime: number;
  maxInputTokens: number;
  maxOutputTokens: number;
  /** trace: keep the recorded arrival times. */
  useTraceTimes: boolean;
}
