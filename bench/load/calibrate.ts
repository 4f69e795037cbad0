import type { TargetOptions } from "./load-options.ts";
import type { ScheduledRequest } from "./request.ts";

import { MonotonicClock } from "./clock.ts";
import { createClient } from "./create-client.ts";
import { PromptWriter, UNCALIBRATED, type TokenCalibration } from "./prompt-writer.ts";
import { RequestSender } from "./request-sender.ts";
import { WORDS } from "./words.ts";

/** Few: what they count for is taken from the average, not measured. */
const SHORT_WORDS = 4;

/**
 * Measures how the server's tokenizer counts our words: two requests for one token, of a few words and of
 * every word there is; the difference gives tokens per word, the rest is what the template adds. They
 * also warm the server up. Throws when the server refuses them: a load test against it would measure
 * nothing.
 */
export async function calibrate(target: TargetOptions): Promise<TokenCalibration> {
  const clock = new MonotonicClock(process.hrtime.bigint());
  const client = createClient({ target, clock, slowReadMs: 0 });
  const promptWriter = new PromptWriter(UNCALIBRATED, 0);
  const sender = new RequestSender({ target, client, clock, promptWriter, worker: 0, onTokens: () => {} });
  try {
    const short = await promptTokens(sender, SHORT_WORDS);
    const long = await promptTokens(sender, WORDS.length);
    return calibration(short, long);
  } finally {
    client.close();
  }
}

export function calibration(shortTokens: number | null, longTokens: number | null): TokenCalibration {
  if (shortTokens === null || longTokens === null || longTokens <= shortTokens) return UNCALIBRATED;
  const tokensPerWord = (longTokens - shortTokens) / (WORDS.length - SHORT_WORDS);
  const overheadTokens = Math.max(0, shortTokens - SHORT_WORDS * tokensPerWord);
  return { tokensPerWord, overheadTokens, isMeasured: true };
}

async function promptTokens(sender: RequestSender, numWords: number): Promise<number | null> {
  const request = probe(numWords);
  const { record } = await sender.send(request, sender.prepare(request));
  // A model may answer with an empty first token; the prompt was counted all the same.
  if (record.outcome !== "ok" && record.errorKind !== "empty") {
    throw new Error(`the server refused a first request (${record.errorKind}): ${record.errorMessage}`);
  }
  return record.promptTokens;
}

function probe(numWords: number): ScheduledRequest {
  return {
    segments: [{ text: WORDS.slice(0, numWords).join(" ") }],
    messages: null,
    maxTokens: 1,
    label: "calibration",
    tenant: null,
    schema: null,
    index: -1,
    sessionIndex: -1,
    turn: 0,
    scheduledMs: 0,
    history: [],
    cancelAfterTokens: null,
    slowReader: false,
    captureText: false,
    keepText: false,
    slotWaitMs: 0,
  };
}
