import { unsupportedParameter } from "../api-error.ts";

/** Tells whether a value asks for nothing, so that it may be accepted where the feature is missing. */
type IsNeutral = (value: unknown) => boolean;

const isZero: IsNeutral = (value) => value === 0;
const isOne: IsNeutral = (value) => value === 1;
const isOff: IsNeutral = (value) => value === false;
const isEmptyList: IsNeutral = (value) => Array.isArray(value) && value.length === 0;
const never: IsNeutral = () => false;

/**
 * Fields known to change the output that this server cannot honour. Ignoring one would give an answer that looks
 * right and is not, so each is refused unless its value asks for nothing.
 */
const neutralValues: Readonly<Record<string, IsNeutral>> = {
  structured_outputs: never,
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  json_schema: never,
  grammar: (value) => value === "",
  use_beam_search: isOff,
  length_penalty: isOne,
  typical_p: isOne,
  top_n_sigma: (value) => typeof value === "number" && value <= 0,
  xtc_probability: isZero,
  dynatemp_range: isZero,
  mirostat: isZero,
  dry_multiplier: isZero,
  adaptive_target: (value) => typeof value === "number" && value < 0,
  samplers: never,
  bad_words: isEmptyList,
  allowed_token_ids: never,
  n_indent: isZero,
  t_max_predict_ms: (value) => typeof value === "number" && value <= 0,
  n_keep: isZero,
  n_discard: isZero,
  truncate_prompt_tokens: never,
  prompt_logprobs: never,
  logprob_token_ids: never,
  n_probs: isZero,
  return_token_ids: isOff,
  return_prompt_text: isOff,
  thinking_token_budget: never,
  reasoning_budget_tokens: (value) => value === -1,
  thinking_budget_tokens: (value) => value === -1,
  lora: isEmptyList,
  chat_template: never,
  documents: isEmptyList,
  functions: isEmptyList,
  function_call: (value) => value === "none",
  audio: never,
  modalities: (value) => Array.isArray(value) && value.every((entry) => entry === "text"),
  prompt_embeds: never,
  suffix: (value) => value === "",
};

/** `body` holds no nulls. */
export function refuseUnsupportedFields(body: object): void {
  for (const [field, value] of Object.entries(body)) {
    if (!Object.hasOwn(neutralValues, field)) continue;
    if (neutralValues[field]?.(value) === true) continue;
    throw unsupportedParameter(field);
  }
}
