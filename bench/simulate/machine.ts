import { countCopies } from "../../kvcache/cache-op.ts";
import type { BatchRow, CacheOp } from "../../scheduler/contracts.ts";

/** What a machine, a model and their memory come to: all that the simulator knows about hardware. */
export interface MachineParameters {
  readonly name: string;
  readonly description: string;
  /** Rows and milliseconds of a decode call without context; straight lines between points, the last one goes on. */
  readonly decodePoints: readonly (readonly [numRows: number, ms: number])[];
  /**
   * Tokens, milliseconds at context 0 and nanoseconds for each pair of a token and one before its chunk, of a prefill
   * call; straight lines between points. A larger call is computed in parts of the last point's size.
   */
  readonly prefillPoints: readonly (readonly [numTokens: number, ms: number, nsPerPair: number])[];
  /** For each pair of a decode row and a token of its own context. */
  readonly decodeNsPerOwnToken: number;
  /** For each pair of a decode row and a cell of somebody else that the kernel has to pass over (paged layout). */
  readonly decodeNsPerForeignCell: number;
  /** A call with decode rows and prompt tokens reads the weights once (one pass), or once for each kind. */
  readonly mixedCall: "one pass" | "two passes";
  /** Time of the host before each step: scheduling, messages, sampling. */
  readonly hostMsPerStep: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  readonly maxModelLen: number;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly numSeqIds: number;
  readonly maxCachedBlocks: number;
  /** What is evicted is kept in host memory, up to so many blocks. */
  readonly maxHostBlocks: number;
  /** Copying a token's KV entries to or from there. */
  readonly hostCopyNsPerToken: number;
  /** What users of such a machine expect, in the notation of --slo. */
  readonly slo: string;
  /** A gap between two tokens from which on they would call the stream frozen. */
  readonly freezeMs: number;
}

/** What one model call has to do. */
interface CallWork {
  numDecodeRows: number;
  numOwnTokens: number;
  numPrefillTokens: number;
  numPairs: number;
}

/** Predicts how long model calls take. */
export class Machine {
  readonly parameters: MachineParameters;

  constructor(parameters: MachineParameters) {
    this.parameters = parameters;
  }

  /** Milliseconds of one call. `numUsedCells` counts all cells in use, those of the rows included. */
  callMs(rows: readonly BatchRow[], numUsedCells: number): number {
    const work = workOf(rows);
    const attentionMs = this.#decodeAttentionMs(work, numUsedCells);
    if (work.numPrefillTokens === 0) return this.#plainDecodeMs(work.numDecodeRows) + attentionMs;
    if (work.numDecodeRows === 0) return this.prefillMs(work.numPrefillTokens, work.numPairs);
    if (this.parameters.mixedCall === "one pass") {
      return this.prefillMs(work.numPrefillTokens + work.numDecodeRows, work.numPairs) + attentionMs;
    }
    const decodeMs = this.#plainDecodeMs(work.numDecodeRows) + attentionMs;
    return decodeMs + this.prefillMs(work.numPrefillTokens, work.numPairs);
  }

  /** Milliseconds of cache operations: copies to and from host memory; tags cost nothing. */
  cacheOpsMs(operations: readonly CacheOp[]): number {
    return (countCopies(operations).numTokens * this.parameters.hostCopyNsPerToken) / 1e6;
  }

  /** A decode call of rows that all have `context` tokens, with `numUsedCells` cells in use. */
  decodeMs(numRows: number, context: number, numUsedCells: number): number {
    const work = {
      numDecodeRows: numRows,
      numOwnTokens: numRows * context,
      numPrefillTokens: 0,
      numPairs: 0,
    };
    return this.#plainDecodeMs(numRows) + this.#decodeAttentionMs(work, numUsedCells);
  }

  /** A prefill call of `numTokens` tokens; `numPairs` are the pairs with tokens before the chunk. */
  prefillMs(numTokens: number, numPairs: number): number {
    const { prefillPoints } = this.parameters;
    const [largest, largestMs, largestNs] = prefillPoints[prefillPoints.length - 1]!;
    const numWhole = Math.floor(numTokens / largest);
    const rest = numTokens - numWhole * largest;
    // The parts after the first look back on the ones before them.
    const numPartPairs =
      (largest * largest * numWhole * Math.max(0, numWhole - 1)) / 2 + numWhole * largest * rest;
    const [restMs, restNs] = rest === 0 ? [0, largestNs] : interpolatePrefill(prefillPoints, rest);
    const nsPerPair = numWhole > 0 ? largestNs : restNs;
    return numWhole * largestMs + restMs + ((numPairs + numPartPairs) * nsPerPair) / 1e6;
  }

  #plainDecodeMs(numRows: number): number {
    return interpolate(this.parameters.decodePoints, numRows);
  }

  #decodeAttentionMs({ numDecodeRows, numOwnTokens }: CallWork, numUsedCells: number): number {
    const { decodeNsPerOwnToken, decodeNsPerForeignCell } = this.parameters;
    const numForeignCells = Math.max(0, numDecodeRows * numUsedCells - numOwnTokens);
    return (numOwnTokens * decodeNsPerOwnToken + numForeignCells * decodeNsPerForeignCell) / 1e6;
  }
}

function workOf(rows: readonly BatchRow[]): CallWork {
  const work: CallWork = { numDecodeRows: 0, numOwnTokens: 0, numPrefillTokens: 0, numPairs: 0 };
  for (const { start, numTokens } of rows) {
    if (numTokens === 1) {
      work.numDecodeRows += 1;
      work.numOwnTokens += start + 1;
    } else {
      work.numPrefillTokens += numTokens;
      work.numPairs += numTokens * start;
    }
  }
  return work;
}

function interpolate(points: MachineParameters["decodePoints"], x: number): number {
  const index = segmentOf(points, x);
  const [x0, y0] = points[index]!;
  const [x1, y1] = points[index + 1] ?? points[index]!;
  return x1 === x0 ? y0 : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

function interpolatePrefill(
  points: MachineParameters["prefillPoints"],
  x: number,
): readonly [ms: number, ns: number] {
  const index = segmentOf(points, x);
  const [x0, ms0, ns0] = points[index]!;
  const [x1, ms1, ns1] = points[index + 1] ?? points[index]!;
  // A call smaller than the first point takes as long: it still reads all weights.
  const share = x1 === x0 ? 0 : Math.max(0, (x - x0) / (x1 - x0));
  return [ms0 + share * (ms1 - ms0), ns0 + share * (ns1 - ns0)];
}

/** Index of the last point at or before `x` that has a successor, else 0. */
function segmentOf(points: readonly (readonly number[])[], x: number): number {
  let index = 0;
  while (index < points.length - 2 && points[index + 1]![0]! <= x) index += 1;
  return index;
}
