import { readText } from "../workloads/read-lines.ts";
import type { MachineParameters } from "./machine.ts";

/**
 * Two CPU cores with SmolLM2-135M-Instruct Q4_1, 2 threads, paged layout. Measured with llama.cpp's batched-bench and
 * llama-bench (decode and prefill by size, prefill at depth 1,024); the cost of foreign cells from the difference of
 * the unified and the stream layout at 16 and 32 rows. Attention's steps at 64 rows and multiples, one below and one
 * above: by their ratio on another machine, 62 to 192 rows at depth 1,472.
 */
const CPU_LIKE: MachineParameters = {
  name: "cpu-like",
  description: "2 CPU cores, a 135M model in 4 bits (measured points)",
  decodePoints: [
    [1, 6.5],
    [4, 19.8],
    [8, 29.4],
    [16, 49.1],
    [32, 90.4],
  ],
  prefillPoints: [
    [8, 25, 1_709],
    [16, 44, 1_648],
    [32, 81, 1_861],
    [63, 149, 1_861],
    [64, 151, 930],
    [65, 153, 1_350],
    [128, 284, 763],
    [129, 286, 1_000],
    [192, 411, 740],
    [256, 538, 683],
    [512, 1_104, 513],
  ],
  decodeNsPerOwnToken: 1_000,
  decodeNsPerForeignCell: 270,
  mixedCall: "two passes",
  hostMsPerStep: 0.5,
  maxNumSeqs: 16,
  maxNumBatchedTokens: 512,
  maxModelLen: 2_048,
  numBlocks: 1_024,
  blockSize: 16,
  numSeqIds: 256,
  maxCachedBlocks: 256,
  maxHostBlocks: 8_192,
  hostCopyNsPerToken: 2_000,
  slo: "ttft=4000,tpot=150",
  freezeMs: 1_000,
};

/** Facts of a model and a device, all bytes and FLOP as such (not Gi). */
interface Roofline {
  readonly weightBytes: number;
  readonly numParameters: number;
  readonly kvBytesPerToken: number;
  /** FLOP for each pair of a token and one it looks at: 4 x layers x heads x head size. */
  readonly attentionFlop: number;
  /** Reached, not nominal. */
  readonly bytesPerSecond: number;
  readonly flopPerSecond: number;
  /** Launches and graph building of a call. */
  readonly callMs: number;
}

/** Llama-3.1-8B in Q8_0 on an H100 SXM: 3.35 TB/s of which 60 %, 989 TFLOP/s of which 45 %. Computed, not measured. */
const H100_8B: Roofline = {
  weightBytes: 7.98e9,
  numParameters: 8.03e9,
  kvBytesPerToken: 131_072,
  attentionFlop: 4 * 32 * 4_096,
  bytesPerSecond: 0.6 * 3.35e12,
  flopPerSecond: 0.45 * 989e12,
  callMs: 0.4,
};

/** A call reads all weights or computes all tokens, whichever takes longer; attention comes on top. */
function pointsOf(
  roofline: Roofline,
): Pick<
  MachineParameters,
  "decodePoints" | "prefillPoints" | "decodeNsPerOwnToken" | "decodeNsPerForeignCell"
> {
  const weightMs = (roofline.weightBytes / roofline.bytesPerSecond) * 1e3;
  const tokenMs = ((2 * roofline.numParameters) / roofline.flopPerSecond) * 1e3;
  const pairNs = (roofline.attentionFlop / roofline.flopPerSecond) * 1e9;
  const matmulMs = (numTokens: number): number => roofline.callMs + Math.max(weightMs, numTokens * tokenMs);
  const inner = (numTokens: number): number => (numTokens * numTokens * pairNs) / 2 / 1e6;
  const bend = Math.round(weightMs / tokenMs);
  return {
    decodePoints: [1, bend, 2 * bend].map((numRows) => [numRows, matmulMs(numRows)]),
    prefillPoints: [1, bend, 256, 512, 1_024, 2_048].map((numTokens) => [
      numTokens,
      matmulMs(numTokens) + inner(numTokens),
      pairNs,
    ]),
    decodeNsPerOwnToken: (roofline.kvBytesPerToken / roofline.bytesPerSecond) * 1e9,
    decodeNsPerForeignCell: 0,
  };
}

const H100_LIKE: MachineParameters = {
  name: "h100-like",
  description: "1 H100, an 8B model in 8 bits, rows that read their own context only (computed roofline)",
  ...pointsOf(H100_8B),
  mixedCall: "one pass",
  hostMsPerStep: 0.5,
  maxNumSeqs: 128,
  maxNumBatchedTokens: 2_048,
  maxModelLen: 131_072,
  // 60 GB of KV entries; large blocks, for sequences are long and copies of a few megabytes are fast.
  numBlocks: 7_152,
  blockSize: 64,
  numSeqIds: 256,
  maxCachedBlocks: 7_152,
  // 200 GB of host memory at 25 GB/s.
  maxHostBlocks: 23_800,
  hostCopyNsPerToken: 5_200,
  slo: "mlperf-llama3.1-8b-interactive",
  freezeMs: 100,
};

export const MACHINE_PRESETS: readonly MachineParameters[] = [CPU_LIKE, H100_LIKE];

/** A preset by name, or a JSON file that changes some fields of one: `{"base": "cpu-like", "maxNumSeqs": 8}`. */
export function readMachine(nameOrPath: string): MachineParameters {
  const preset = MACHINE_PRESETS.find(({ name }) => name === nameOrPath);
  if (preset !== undefined) return preset;
  const names = MACHINE_PRESETS.map(({ name }) => name).join(", ");
  if (!nameOrPath.endsWith(".json")) {
    throw new RangeError(`no machine '${nameOrPath}'; known are ${names}, or a .json file`);
  }
  return parseMachine(JSON.parse(readText(nameOrPath)), nameOrPath);
}

function parseMachine(fields: Record<string, unknown>, path: string): MachineParameters {
  const { base, ...changes } = fields;
  const preset = MACHINE_PRESETS.find(({ name }) => name === base);
  if (preset === undefined) throw new RangeError(`${path}: 'base' must name a preset`);
  for (const [name, value] of Object.entries(changes)) {
    const expected = preset[name as keyof MachineParameters];
    if (expected === undefined) throw new RangeError(`${path}: a machine has no '${name}'`);
    if (typeof value !== typeof expected || Array.isArray(value) !== Array.isArray(expected)) {
      throw new RangeError(
        `${path}: '${name}' must be a ${Array.isArray(expected) ? "list" : typeof expected}`,
      );
    }
  }
  return { ...preset, ...changes };
}
