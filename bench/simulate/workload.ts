import { arrivalTimes } from "../load/arrival-schedule.ts";
import type { PlannedRequest } from "../load/request.ts";
import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { createSessions } from "../workloads/create-sessions.ts";
import { parseLength } from "../workloads/length-distribution.ts";
import type { WorkloadOptions } from "../workloads/workload-options.ts";
import type { SimRequest, TokenSegment } from "./sim-request.ts";

export const WORKLOADS = [
  "poisson",
  "bursts",
  "sharegpt",
  "shared-prefix",
  "intruders",
  "abusive-tenant",
  "trace",
] as const;
export type SimWorkloadName = (typeof WORKLOADS)[number];

export interface Workload {
  readonly name: SimWorkloadName;
  readonly seed: number;
  readonly numRequests: number;
  /** Requests a second; a trace has its own times. */
  readonly rate: number;
  readonly maxModelLen: number;
  readonly trace: { readonly path: string; readonly scaleLength: number; readonly scaleTime: number } | null;
}

/** The same as conversations recorded in ShareGPT look like: log-normal, medians 100 in and 140 out. */
const SHAREGPT = { inputTokens: parseLength("100~1.2"), outputTokens: parseLength("140~0.9") };
const SHORT = { inputTokens: parseLength("64-192"), outputTokens: parseLength("32-96") };

/** Gaps with shape 0.25: four times the variance of a Poisson process. */
const BURSTINESS = 0.25;

/** What each workload adds to the plain ones. */
const SETTINGS: Record<SimWorkloadName, Partial<WorkloadOptions>> = {
  poisson: SHORT,
  bursts: SHORT,
  sharegpt: SHAREGPT,
  "shared-prefix": { name: "shared-prefix", ...SHORT, prefixTokens: 1_000, numPrefixes: 8 },
  intruders: {
    name: "intruder",
    inputTokens: parseLength("16-48"),
    outputTokens: parseLength("24-72"),
    intruderEvery: 4,
  },
  "abusive-tenant": {
    name: "tenants",
    ...SHORT,
    tenants: [
      { name: "abuser", weight: 17, key: null },
      { name: "quiet-1", weight: 1, key: null },
      { name: "quiet-2", weight: 1, key: null },
      { name: "quiet-3", weight: 1, key: null },
    ],
  },
  trace: { name: "trace" },
};

/** The requests of a workload by arrival; the same for the same seed. Lazy: a million of them need no memory. */
export function* createRequests(workload: Workload): Generator<SimRequest> {
  const arrivals = arrivalTimes(
    { kind: "steady", rate: workload.rate },
    workload.name === "bursts" ? BURSTINESS : 1,
    seededRandom(deriveSeed(workload.seed, "arrivals")),
  );
  const ids = new SegmentIds();
  let index = 0;
  for (const { atMs, turns } of createSessions(workloadOptions(workload))) {
    if (index === workload.numRequests) return;
    const arrivalMs = atMs ?? (arrivals.next().value as number);
    yield toRequest(turns[0]!, { index, atMs: arrivalMs, ids });
    index += 1;
  }
}

function workloadOptions({ name, seed, maxModelLen, trace }: Workload): WorkloadOptions {
  const maxInputTokens = Math.floor(maxModelLen * 0.75);
  return {
    name: "random",
    seed,
    ...SHORT,
    tenants: [],
    schema: null,
    prefixTokens: 0,
    numPrefixes: 1,
    turns: 1,
    thinkMs: 0,
    intruderEvery: 1,
    intruderTokens: maxInputTokens,
    file: trace?.path ?? null,
    scaleLength: trace?.scaleLength ?? 1,
    scaleTime: trace?.scaleTime ?? 1,
    maxInputTokens,
    maxOutputTokens: Math.floor(maxModelLen * 0.25),
    useTraceTimes: true,
    ...SETTINGS[name],
  };
}

function toRequest(
  { segments, maxTokens, tenant, label }: PlannedRequest,
  { index, atMs, ids }: { readonly index: number; readonly atMs: number; readonly ids: SegmentIds },
): SimRequest {
  const tokenSegments = segments.map((segment): TokenSegment => {
    if (!("seed" in segment)) throw new RangeError("the simulator needs prompt lengths, not texts");
    return { id: ids.of(segment.seed), numTokens: segment.numTokens };
  });
  const numPromptTokens = tokenSegments.reduce((sum, segment) => sum + segment.numTokens, 0);
  const request = { index, atMs, segments: tokenSegments, numPromptTokens, numOutputTokens: maxTokens };
  return { ...request, tenant: tenant?.name ?? "", label };
}

/** Seeds of the load test's workloads are up to 2^41; token ids have to be small integers to be cheap. */
class SegmentIds {
  readonly #ids = new Map<number, number>();

  of(seed: number): number {
    const known = this.#ids.get(seed);
    if (known !== undefined) return known;
    const id = this.#ids.size;
    this.#ids.set(seed, id);
    return id;
  }
}

export interface MeanLengths {
  /** Prompt tokens that no earlier request had at the same place: the rest a prefix cache can spare. */
  readonly newPromptTokens: number;
  readonly outputTokens: number;
  /** Tokens before a prompt token, on average. */
  readonly depth: number;
}

/** Means over a workload's first requests, for a rate that loads a machine to a wanted share. */
export function meanLengths(workload: Workload): MeanLengths {
  const sums = { requests: 0, newTokens: 0, pairs: 0, outputTokens: 0 };
  const seen = new Set<number>();
  for (const request of createRequests({ ...workload, rate: 1, numRequests: 2_000 })) {
    sums.requests += 1;
    sums.outputTokens += request.numOutputTokens;
    let depth = 0;
    for (const { id, numTokens } of request.segments) {
      if (!seen.has(id)) {
        sums.newTokens += numTokens;
        sums.pairs += numTokens * (depth + numTokens / 2);
      }
      seen.add(id);
      depth += numTokens;
    }
  }
  return {
    newPromptTokens: sums.newTokens / sums.requests,
    outputTokens: sums.outputTokens / sums.requests,
    depth: sums.pairs / sums.newTokens,
  };
}
