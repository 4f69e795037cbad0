import type { PlannedRequest, PromptSegment, Session } from "../load/request.ts";
import type { WorkloadOptions } from "./workload-options.ts";

import { drawLength } from "./length-distribution.ts";
import { readLines } from "./read-lines.ts";
import { seededRandom } from "../seeded-random.ts";

/** A Mooncake trace names its prompt by the hashes of blocks of this many tokens. */
const MOONCAKE_BLOCK_TOKENS = 512;
/** Seeds of prompts that share nothing lie above every block hash. */
const UNSHARED_SEED = 2 ** 40;

/** One row of any trace before scaling. */
interface TraceRow {
  atMs: number;
  prompt: { text: string } | { messages: PlannedRequest["messages"] } | { blocks: PromptSegment[] };
  outputTokens: number | null;
  tenant: string | null;
}

/**
 * Replays a trace: our own JSONL (`at` in seconds, `prompt` | `messages` | `input_tokens`, `max_tokens`,
 * `tenant`), Azure's CSV (TIMESTAMP, ContextTokens, GeneratedTokens) or Mooncake's JSONL (timestamp in
 * ms, input_length, output_length, hash_ids: equal ids become equal text, so prefixes are really
 * shared). Rows may stand in any order; arrivals count from the earliest.
 */
export function* traceSessions(options: WorkloadOptions): Generator<Session> {
  if (options.file === null) throw new RangeError("the trace workload needs --file");
  const rows = parseTrace(readLines(options.file)).sort((a, b) => a.atMs - b.atMs);
  const random = seededRandom(options.seed);
  const firstMs = rows[0]?.atMs ?? 0;
  for (const row of rows) {
    const drawn = drawLength(options.outputTokens, random, options.maxOutputTokens);
    const maxTokens =
      row.outputTokens === null ? drawn : scaled(row.outputTokens, options, options.maxOutputTokens);
    const request = {
      ...promptOf(row, options),
      maxTokens,
      label: "all",
      tenant: null,
      schema: options.schema,
    };
    const tenant = row.tenant === null ? null : { name: row.tenant, key: keyOf(options, row.tenant) };
    const atMs = options.useTraceTimes ? (row.atMs - firstMs) * options.scaleTime : null;
    yield { atMs, turns: [{ ...request, tenant }], thinkMs: 0 };
  }
}

function keyOf({ tenants }: WorkloadOptions, name: string): string | null {
  return tenants.find((tenant) => tenant.name === name)?.key ?? null;
}

function scaled(tokens: number, { scaleLength }: WorkloadOptions, max: number): number {
  return Math.min(max, Math.max(1, Math.round(tokens * scaleLength)));
}

function promptOf(
  { prompt }: TraceRow,
  options: WorkloadOptions,
): Pick<PlannedRequest, "segments" | "messages"> {
  if ("text" in prompt) return { segments: [prompt], messages: null };
  if ("messages" in prompt) return { segments: [], messages: prompt.messages };
  return { segments: clampBlocks(prompt.blocks, options), messages: null };
}

/** Scales every block and drops what exceeds the longest input allowed: the shared beginning stays. */
function clampBlocks(blocks: readonly PromptSegment[], options: WorkloadOptions): PromptSegment[] {
  const kept: PromptSegment[] = [];
  let rest = options.maxInputTokens;
  for (const block of blocks) {
    if (rest <= 0 || !("seed" in block)) break;
    const numTokens = scaled(block.numTokens, options, rest);
    kept.push({ seed: block.seed, numTokens });
    rest -= numTokens;
  }
  return kept;
}

/** Parses the rows of a trace in any of the three formats, found from the first line. */
export function parseTrace(lines: readonly string[]): TraceRow[] {
  const [first = ""] = lines;
  if (!first.trimStart().startsWith("{")) return parseAzure(lines);
  return lines.map((line, index) => {
    const row = parseJsonLine(line, index);
    return "hash_ids" in row ? mooncakeRow(row) : ownRow(row, index);
  });
}

function parseJsonLine(line: string, index: number): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    throw new RangeError(`trace line ${index + 1} is not JSON`);
  }
}

function parseAzure(lines: readonly string[]): TraceRow[] {
  return lines.slice(1).map((line, index) => {
    const [timestamp = "", context, generated] = line.split(",");
    const atMs = Date.parse(`${timestamp.trim().replace(" ", "T")}Z`);
    const [inputTokens, outputTokens] = [Number(context), Number(generated)];
    if (!(atMs > 0 && inputTokens >= 0 && outputTokens >= 0)) {
      throw new RangeError(`trace line ${index + 2}: expected TIMESTAMP,ContextTokens,GeneratedTokens`);
    }
    return { atMs, prompt: { blocks: [unshared(index, inputTokens)] }, outputTokens, tenant: null };
  });
}

function mooncakeRow(row: Record<string, unknown>): TraceRow {
  const hashes = row["hash_ids"] as number[];
  const inputTokens = row["input_length"] as number;
  const blocks = hashes.map((hash, position) => ({
    seed: hash,
    numTokens: Math.min(MOONCAKE_BLOCK_TOKENS, inputTokens - position * MOONCAKE_BLOCK_TOKENS),
  }));
  return {
    atMs: row["timestamp"] as number,
    prompt: { blocks },
    outputTokens: row["output_length"] as number,
    tenant: null,
  };
}

function ownRow(row: Record<string, unknown>, index: number): TraceRow {
  const at = row["at"];
  if (typeof at !== "number") throw new RangeError(`trace line ${index + 1}: 'at' (seconds) is missing`);
  const tenant = typeof row["tenant"] === "string" ? row["tenant"] : null;
  const outputTokens = typeof row["max_tokens"] === "number" ? row["max_tokens"] : null;
  return { atMs: at * 1000, prompt: ownPrompt(row, index), outputTokens, tenant };
}

function ownPrompt(row: Record<string, unknown>, index: number): TraceRow["prompt"] {
  if (typeof row["prompt"] === "string") return { text: row["prompt"] };
  if (Array.isArray(row["messages"])) return { messages: row["messages"] as PlannedRequest["messages"] };
  if (typeof row["input_tokens"] === "number") return { blocks: [unshared(index, row["input_tokens"])] };
  throw new RangeError(`trace line ${index + 1}: needs 'prompt', 'messages' or 'input_tokens'`);
}

function unshared(index: number, numTokens: number): PromptSegment {
  return { seed: UNSHARED_SEED + index, numTokens };
}
