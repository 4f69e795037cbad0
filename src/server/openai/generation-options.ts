import type { SamplingParams } from "../../../scheduler/sampling-params.ts";
import type { LatencyTargets } from "../../engine/generation.ts";
import { invalidValue, unsupportedParameter } from "../api-error.ts";
import type { ServerConfig } from "../dependencies.ts";
import type { GenerationFields } from "../schemas/generation-fields.ts";
import { foldSeed, randomSeed } from "./seed.ts";

/** How the answer is to be written, as opposed to what is generated. */
export interface OutputOptions {
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  readonly returnProgress: boolean;
  readonly timingsPerToken: boolean;
  /** 0 means no keep-alives. */
  readonly pingIntervalMs: number;
  readonly tokensAsTokenIds: boolean;
}

/** The part of a request that all generating endpoints share, checked and defaulted. */
export interface GenerationOptions {
  readonly model: string | null;
  readonly sampling: Omit<SamplingParams, "choiceIndex">;
  /** null when the client left the bound to the server. */
  readonly maxTokens: number | null;
  readonly numChoices: number;
  readonly stopStrings: readonly string[];
  readonly includeStopString: boolean;
  readonly priority: number;
  readonly targets: LatencyTargets;
  /** "" when the client did not say whom it asks for. */
  readonly user: string;
  readonly cacheSalt: string;
  readonly output: OutputOptions;
}

/** What parsing needs to know of the server. */
export interface ParseContext {
  readonly config: ServerConfig;
  /** Bytes of each token; its length is the size of the vocabulary. */
  readonly pieces: readonly Uint8Array[];
}

export interface LogprobCounts {
  readonly topLogprobs: number | null;
  readonly promptLogprobs: number | null;
}

const maxStopBytes = 4096;

export function parseGenerationOptions(
  fields: GenerationFields,
  logprobs: LogprobCounts,
  context: ParseContext,
): GenerationOptions {
  const maxTokens = outputBound(fields);
  const minTokens = fields.min_tokens ?? 0;
  if (maxTokens !== null && minTokens > maxTokens) {
    throw invalidValue("min_tokens", "'min_tokens' must not be greater than 'max_tokens'.");
  }
  checkDeterminism(fields, context.config);
  return {
    model: fields.model ?? null,
    sampling: { ...parseSampling(fields, context), ...logprobs, minTokens },
    maxTokens,
    numChoices: fields.n ?? 1,
    stopStrings: parseStop(fields.stop, context.config.maxNumStopStrings),
    includeStopString: fields.include_stop_str_in_output ?? false,
    priority: fields.priority ?? 0,
    targets: fields.deadline_ms === undefined ? {} : { totalMs: fields.deadline_ms },
    user: fields.user ?? "",
    cacheSalt: fields.cache_salt ?? "",
    output: parseOutput(fields, context.config),
  };
}

/** Whether the promise holds is settled when the model is loaded. */
function checkDeterminism({ deterministic }: GenerationFields, { isDeterministic }: ServerConfig): void {
  if (deterministic !== true || isDeterministic) return;
  const message =
    "'deterministic' is possible on a server that runs with --deterministic; this one does not.";
  throw invalidValue("deterministic", message);
}

/** A text format is what we give anyway; any other constrains the output and is refused by name. */
export function checkResponseFormat(format: { readonly type?: unknown } | undefined): void {
  if (format === undefined || format.type === "text") return;
  if (format.type === "json_object" || format.type === "json_schema") {
    throw unsupportedParameter("response_format");
  }
  const message = "'response_format.type' must be one of text, json_object, json_schema.";
  throw invalidValue("response_format.type", message);
}

function parseSampling(fields: GenerationFields, { pieces, config }: ParseContext) {
  const vocabSize = pieces.length;
  return {
    temperature: fields.temperature ?? 1,
    topK: Math.max(0, fields.top_k ?? 0),
    topP: fields.top_p ?? 1,
    minP: fields.min_p ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? fields.repeat_penalty ?? 1,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    logitBias: parseLogitBias(fields.logit_bias ?? {}, vocabSize),
    seed: fields.seed === undefined ? (config.defaultSeed ?? randomSeed()) : foldSeed(fields.seed),
    stopTokenIds: parseStopTokenIds(fields.stop_token_ids ?? [], vocabSize),
    ignoreEos: fields.ignore_eos ?? false,
  };
}

/** llama-server's name wins, so that its clients keep what they ask for. */
function outputBound(fields: GenerationFields & { readonly max_completion_tokens?: number }): number | null {
  if (fields.n_predict !== undefined && fields.n_predict >= 0) return fields.n_predict;
  return fields.max_completion_tokens ?? fields.max_tokens ?? null;
}

function parseLogitBias(bias: Record<string, unknown>, vocabSize: number): [number, number][] {
  return Object.entries(bias).map(([key, value]) => {
    if (!/^\d{1,10}$/.test(key) || Number(key) >= vocabSize) {
      const message = `'logit_bias' holds a key that is no token id of the vocabulary (0 to ${vocabSize - 1}).`;
      throw invalidValue("logit_bias", message);
    }
    if (typeof value !== "number" || !(value >= -100 && value <= 100)) {
      throw invalidValue("logit_bias", "Values of 'logit_bias' must be numbers from -100 to 100.");
    }
    return [Number(key), value];
  });
}

function parseStopTokenIds(tokenIds: readonly number[], vocabSize: number): readonly number[] {
  if (tokenIds.every((tokenId) => tokenId < vocabSize)) return tokenIds;
  throw invalidValue("stop_token_ids", "'stop_token_ids' holds a token that is out of vocabulary.");
}

function parseStop(stop: unknown, maxNumStopStrings: number): string[] {
  if (stop === undefined) return [];
  const strings = (Array.isArray(stop) ? stop : [stop]) as string[];
  if (strings.length > maxNumStopStrings) {
    throw invalidValue("stop", `'stop' must not hold more than ${maxNumStopStrings} strings.`);
  }
  if (strings.includes("")) throw invalidValue("stop", "'stop' must not hold an empty string.");
  const numBytes = strings.reduce((sum, string) => sum + Buffer.byteLength(string), 0);
  if (numBytes > maxStopBytes) {
    throw invalidValue("stop", `'stop' must not be longer than ${maxStopBytes} bytes in all.`);
  }
  return strings;
}

function parseOutput(fields: GenerationFields, config: ServerConfig): OutputOptions {
  const stream = fields.stream ?? false;
  const options = fields.stream_options ?? {};
  const isSet = Object.values(options).some((value) => value !== null);
  if (isSet && !stream) {
    throw invalidValue("stream_options", "'stream_options' is only allowed when 'stream' is true.");
  }
  return {
    stream,
    includeUsage: options.include_usage ?? false,
    continuousUsage: options.continuous_usage_stats ?? false,
    returnProgress: fields.return_progress ?? false,
    timingsPerToken: fields.timings_per_token ?? false,
    pingIntervalMs: pingIntervalMs(fields.sse_ping_interval, config),
    tokensAsTokenIds: fields.return_tokens_as_token_ids ?? false,
  };
}

function pingIntervalMs(seconds: number | undefined, config: ServerConfig): number {
  if (seconds === undefined) return config.ssePingIntervalMs;
  return seconds <= 0 ? 0 : Math.max(100, seconds * 1000);
}
