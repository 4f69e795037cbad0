import type { Batch, BatchRow } from "../../../scheduler/contracts.ts";
import { PrefillPace } from "../../../scheduler/prefill-pace.ts";
import { StepTimeModel } from "../../../scheduler/step-time-model.ts";
import type { Machine } from "../machine.ts";

/** What a replica is doing at a moment. */
export interface ReplicaLoad {
  readonly numRows: number;
  /** Mean tokens of a decoding row. */
  readonly context: number;
  readonly numUsedCells: number;
  /** Prompt tokens waiting to be computed; 0 when nothing is in prefill. */
  readonly numPrefillTokens: number;
  /** Tokens before them, on average. */
  readonly depth: number;
}

export interface StepSpeed {
  readonly stepMs: number;
  /** Prompt tokens computed in the step. */
  readonly chunk: number;
}

/** Factors found by calibration; 1 is the machine as it is. */
export interface SpeedFactors {
  readonly decode: number;
  readonly prefill: number;
}

/**
 * How long a step takes and how many prompt tokens it computes. Chunks are those that the scheduler's own step-time
 * model would choose once it has learned the machine.
 */
export class StepSpeeds {
  readonly #machine: Machine;
  readonly #factors: SpeedFactors;
  readonly #targetItlMs: number | null;
  readonly #model = new StepTimeModel();
  readonly #pace = new PrefillPace(this.#model);
  readonly #budgets = new Map<number, number>();

  constructor(machine: Machine, targetItlMs: number | null, factors: SpeedFactors) {
    this.#machine = machine;
    this.#factors = factors;
    this.#targetItlMs = targetItlMs;
    teach(this.#model, machine);
  }

  /** At full load. */
  get prefillMsPerToken(): number {
    const { maxNumBatchedTokens } = this.#machine.parameters;
    return this.#machine.prefillMs(maxNumBatchedTokens, 0) / maxNumBatchedTokens;
  }

  /** At full load, for rows of a few hundred tokens. */
  get decodeMsPerToken(): number {
    const { maxNumSeqs } = this.#machine.parameters;
    return this.#machine.decodeMs(maxNumSeqs, 256, maxNumSeqs * 256) / maxNumSeqs;
  }

  at(load: ReplicaLoad): StepSpeed {
    const { hostMsPerStep, maxNumBatchedTokens } = this.#machine.parameters;
    const decodeMs = this.#decodeMs(load);
    if (load.numPrefillTokens === 0) return { stepMs: hostMsPerStep + decodeMs, chunk: 0 };
    const budget = load.numRows === 0 ? maxNumBatchedTokens : this.#budget(load);
    const chunk = Math.min(budget, maxNumBatchedTokens, Math.ceil(load.numPrefillTokens));
    const prefillMs = this.#factors.prefill * this.#machine.prefillMs(chunk, chunk * load.depth);
    return { stepMs: hostMsPerStep + decodeMs + prefillMs, chunk };
  }

  #decodeMs({ numRows, context, numUsedCells }: ReplicaLoad): number {
    if (numRows === 0) return 0;
    return this.#factors.decode * this.#machine.decodeMs(numRows, context, numUsedCells);
  }

  /** Depth and cells count in steps, so that few answers have to be worked out. */
  #budget({ numRows, numUsedCells, depth }: ReplicaLoad): number {
    const depthStep = Math.round(depth / 256);
    const cellStep = Math.round(numUsedCells / 1_024);
    const key = (cellStep * 1_024 + depthStep) * 1_024 + numRows;
    let budget = this.#budgets.get(key);
    if (budget === undefined) {
      budget = this.#pace.budget({
        numDecodeRows: numRows,
        usedTokens: cellStep * 1_024,
        depth: depthStep * 256,
        targetItlMs: this.#targetItlMs,
        stretch: 1,
        wantedItlMs: Infinity,
        copyMs: 0,
        numTokens: Infinity,
        maxTokens: this.#machine.parameters.maxNumBatchedTokens,
      });
      this.#budgets.set(key, budget);
    }
    return budget;
  }
}

/** Shows the model calls of all sizes, as a running engine would over time. */
function teach(model: StepTimeModel, machine: Machine): void {
  const { maxNumSeqs, maxNumBatchedTokens, maxModelLen } = machine.parameters;
  for (let round = 0; round < 8; round += 1) {
    for (let numRows = 1; numRows <= maxNumSeqs; numRows *= 2) {
      const context = Math.min(maxModelLen - 1, 128 << (round % 3));
      const rows = Array.from({ length: numRows }, () => rowOf(context, 1));
      observe(model, { machine, kind: "decode", rows, usedTokens: numRows * context });
    }
    for (let numTokens = 16; numTokens <= maxNumBatchedTokens; numTokens *= 2) {
      const rows = [rowOf(Math.min(maxModelLen - numTokens, 256 * (round % 5)), numTokens)];
      observe(model, { machine, kind: "prefill", rows, usedTokens: maxModelLen });
    }
  }
}

function observe(
  model: StepTimeModel,
  call: { machine: Machine; kind: Batch["kind"]; rows: readonly BatchRow[]; usedTokens: number },
): void {
  const { machine, kind, rows, usedTokens } = call;
  const numTokens = rows.reduce((sum, row) => sum + row.numTokens, 0);
  const durationMs = machine.callMs(rows, usedTokens);
  model.observe({ batch: { kind, rows, numTokens }, usedTokens, durationMs });
}

/** The model looks at sizes and places only. */
function rowOf(start: number, numTokens: number): BatchRow {
  return { start, numTokens, logits: "none", sample: false, sequence: NO_SEQUENCE };
}

const NO_SEQUENCE = Object.freeze({}) as BatchRow["sequence"];
