import type { PlannedRequest, PromptSegment, Session } from "../load/request.ts";
import type { Random } from "../seeded-random.ts";
import type { WorkloadOptions } from "./workload-options.ts";

import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { drawLength } from "./length-distribution.ts";

/** Seeds of text that no other prompt shares start here; below are prefixes and trace blocks. */
const UNSHARED_SEED = 2 ** 40;

/** Independent prompts of random length: the lengths' distributions make it uniform or log-normal. */
export function* randomSessions(options: WorkloadOptions): Generator<Session> {
  const random = seededRandom(deriveSeed(options.seed, "lengths"));
  for (let index = 0; ; index++) {
    yield single(plan(options, random, [unsharedSegment(options, random, index)]));
  }
}

/** Prompts that begin with one of a few long prefixes (a system prompt, a document). */
export function* sharedPrefixSessions(options: WorkloadOptions): Generator<Session> {
  const random = seededRandom(deriveSeed(options.seed, "lengths"));
  for (let index = 0; ; index++) {
    const seed = Math.floor(random() * options.numPrefixes);
    const prefix = { seed, numTokens: options.prefixTokens };
    yield single(plan(options, random, [prefix, unsharedSegment(options, random, index)]));
  }
}

/** Conversations: every turn sends all earlier turns and the server's real replies again. */
export function* multiTurnSessions(options: WorkloadOptions): Generator<Session> {
  const random = seededRandom(deriveSeed(options.seed, "lengths"));
  for (let index = 0; ; index += options.turns) {
    const turns = Array.from({ length: options.turns }, (_, turn) => ({
      ...plan(options, random, [unsharedSegment(options, random, index + turn)]),
      label: turn === 0 ? "first turn" : "later turn",
    }));
    yield { atMs: null, turns, thinkMs: options.thinkMs };
  }
}

/** Short requests with a long prompt among them at regular places: who stalls while it is prefilled? */
export function* intruderSessions(options: WorkloadOptions): Generator<Session> {
  const random = seededRandom(deriveSeed(options.seed, "lengths"));
  for (let index = 0; ; index++) {
    const isIntruder = (index + 1) % options.intruderEvery === 0;
    const segment = unsharedSegment(options, random, index);
    const numTokens = isIntruder ? options.intruderTokens : segment.numTokens;
    const request = plan(options, random, [{ ...segment, numTokens }]);
    yield single({ ...request, label: isIntruder ? "intruder" : "resident" });
  }
}

function unsharedSegment(options: WorkloadOptions, random: Random, index: number) {
  const numTokens = drawLength(options.inputTokens, random, options.maxInputTokens);
  return { seed: UNSHARED_SEED + index, numTokens };
}

function plan(options: WorkloadOptions, random: Random, segments: PromptSegment[]): PlannedRequest {
  const maxTokens = drawLength(options.outputTokens, random, options.maxOutputTokens);
  return { segments, messages: null, maxTokens, label: "all", tenant: null, schema: options.schema };
}

function single(request: PlannedRequest): Session {
  return { atMs: null, turns: [request], thinkMs: 0 };
}
