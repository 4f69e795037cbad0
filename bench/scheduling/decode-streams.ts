import type { RequestRecord } from "../load/request.ts";
import { Distribution } from "../measure/distribution.ts";
import { forEachGap } from "../measure/request-metrics.ts";
import { outputTokensIn } from "../measure/throughput.ts";
import { isInside, windowSeconds, type Window } from "../measure/window.ts";
import type { PromptSource } from "./prompt-source.ts";
import type { TokenClient } from "./token-client.ts";

const PROMPT_LENGTH = 16;

export interface DecodeStreamsOptions {
  readonly numStreams: number;
  readonly maxTokens: number;
}

/** Streams that decode side by side until they are stopped. */
export class DecodeStreams {
  readonly #stop = new AbortController();
  readonly #answers: Promise<RequestRecord>[] = [];

  /** Resolves when every stream has its first token. */
  static async start(
    client: TokenClient,
    prompts: PromptSource,
    { numStreams, maxTokens }: DecodeStreamsOptions,
  ): Promise<DecodeStreams> {
    const streams = new DecodeStreams();
    const running = Array.from({ length: numStreams }, async () => {
      await new Promise<void>((resolve) => {
        const prompt = prompts.next(PROMPT_LENGTH);
        const { signal } = streams.#stop;
        const answer = client.complete({ prompt, maxTokens, signal, onText: () => resolve() });
        streams.#answers.push(
          answer.then(({ record }) => {
            resolve();
            return record;
          }),
        );
      });
    });
    await Promise.all(running);
    return streams;
  }

  /** Breaks the streams off. Throws where one had failed, or ended: the load was then not what it should be. */
  async stop(): Promise<RequestRecord[]> {
    this.#stop.abort();
    const records = await Promise.all(this.#answers);
    const early = records.find(({ outcome }) => outcome !== "cancelled");
    if (early !== undefined)
      throw new Error(
        `a stream ended early, with ${early.outputTokens} tokens: ${early.errorMessage ?? "the model is too fast for this benchmark"}`,
      );
    return records;
  }
}

/** Gaps between tokens that arrived in the window: a chunk of n tokens counts as n gaps of 1/n. Added to `gaps`, which is returned. */
export function tokenGaps(
  records: readonly RequestRecord[],
  window: Window,
  gaps = new Distribution(),
): Distribution {
  for (const record of records) {
    let index = 0;
    forEachGap(record, (gapMs, numTokens) => {
      index += 1;
      if (isInside(window, record.chunkMs[index] as number)) gaps.add(gapMs / numTokens, numTokens);
    });
  }
  return gaps;
}

/**
 * The longest wait of any stream for its next token, of those that ended in the window. Several tokens in one chunk are
 * mostly bytes of one character, which a server holds back until it is whole: each waited for its share of the silence, or
 * for as long as the streams beside it, which get their tokens from the same steps.
 */
export function longestStallMs(records: readonly RequestRecord[], window: Window): number {
  const arrivalsMs = records.flatMap(({ chunkMs }) => chunkMs).sort((left, right) => left - right);
  let longestMs = 0;
  for (const { chunkMs, chunkTokens } of records) {
    for (let i = 1; i < chunkMs.length; i++) {
      const silence = { startMs: chunkMs[i - 1] as number, endMs: chunkMs[i] as number };
      if (!isInside(window, silence.endMs)) continue;
      const numTokens = Math.max(1, chunkTokens[i] as number);
      const shareMs = (silence.endMs - silence.startMs) / numTokens;
      longestMs = Math.max(longestMs, shareMs, numTokens === 1 ? 0 : longestGapMs(arrivalsMs, silence));
    }
  }
  return longestMs;
}

/** Between two of the ascending times from start to end, ends included. */
function longestGapMs(timesMs: readonly number[], { startMs, endMs }: Window): number {
  const inside = timesMs.filter((timeMs) => timeMs >= startMs && timeMs <= endMs);
  return Math.max(...inside.slice(1).map((timeMs, index) => timeMs - (inside[index] as number)));
}

export function outputTokensPerSecond(records: readonly RequestRecord[], window: Window): number {
  const numTokens = records.reduce((sum, record) => sum + outputTokensIn(record, window), 0);
  return numTokens / windowSeconds(window);
}
