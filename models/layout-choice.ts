import type { KvLayout } from "../scheduler/contracts.ts";

/** Time of one decode call over many rows, measured in both layouts. */
export interface LayoutCosts {
  readonly numRows: number;
  /** Tokens of each row's sequence, none of them shared. */
  readonly numTokens: number;
  readonly pagedMs: number;
  /** The same without any tokens: what of it does not depend on the cells in use. */
  readonly emptyPagedMs: number;
  readonly streamsMs: number;
}

export interface LayoutChoice {
  readonly layout: KvLayout;
  /** For the operator. */
  readonly reason: string;
}

/** Streams must be that much faster: paged memory is also shared without copies and never lies idle in a slice. */
const MIN_GAIN = 1.1;

/**
 * In the paged layout every row passes over the cells of all, which are fewer where prompts begin alike.
 * `sharedPart` is the part of all prompt tokens that was found cached, 0 to 1.
 */
export function chooseLayout(costs: LayoutCosts, sharedPart: number): LayoutChoice {
  const { numRows, numTokens, pagedMs, emptyPagedMs, streamsMs } = costs;
  const cellsMs = Math.max(0, pagedMs - emptyPagedMs);
  const sharedPagedMs = emptyPagedMs + cellsMs * (1 - sharedPart * (1 - 1 / numRows));
  const layout = sharedPagedMs > MIN_GAIN * streamsMs ? "streams" : "paged";
  const share = `${Math.round(sharedPart * 100)} % of prompt tokens shared`;
  const figures = `${sharedPagedMs.toFixed(1)} ms paged, ${streamsMs.toFixed(1)} ms in streams`;
  return {
    layout,
    reason: `a step of ${numRows} rows of ${numTokens} tokens takes ${figures}, with ${share}`,
  };
}
