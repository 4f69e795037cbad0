import type { ChoiceResult } from "../openai/completion-format.ts";

/** Of each prompt's choices, those with the highest mean logprob of their tokens, best first. */
export function selectBest(
  choices: readonly ChoiceResult[],
  numChoices: number,
  numReturnedChoices: number,
): readonly ChoiceResult[] {
  if (numReturnedChoices === numChoices) return choices;
  const selected: ChoiceResult[] = [];
  for (let start = 0; start < choices.length; start += numChoices) {
    const ranked = choices
      .slice(start, start + numChoices)
      .toSorted((left, right) => meanLogprob(right) - meanLogprob(left));
    selected.push(...ranked.slice(0, numReturnedChoices));
  }
  return selected;
}

function meanLogprob({ tokens }: ChoiceResult): number {
  if (tokens.length === 0) return 0;
  const sum = tokens.reduce((total, token) => total + (token.logprob ?? 0), 0);
  return sum / tokens.length;
}
