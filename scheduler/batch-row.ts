import type { BatchRow, LogitsWanted } from "./contracts.ts";
import type { Sequence } from "./sequence.ts";

/** The next `numTokens` tokens of a sequence; the last of all is followed by a draw. */
export function makeRow(sequence: Sequence, numTokens: number): BatchRow {
  const start = sequence.numComputedTokens;
  const sample = start + numTokens === sequence.tokens.length && sequence.wantsToken;
  return { sequence, start, numTokens, logits: logitsWanted(sequence, start + numTokens, sample), sample };
}

/** The logits of a position tell about the token after it: rows up to `end` are wanted while prompt tokens up to `end` are unreported. */
function logitsWanted(sequence: Sequence, end: number, sample: boolean): LogitsWanted {
  if (sequence.wantsPromptLogprobs && end >= sequence.numReportedPromptTokens) return "all";
  return sample ? "last" : "none";
}
