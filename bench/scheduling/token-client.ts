import { MonotonicClock } from "../load/clock.ts";
import { HttpClient } from "../load/http-client.ts";
import type { TargetOptions } from "../load/load-options.ts";
import type { RequestRecord, ScheduledRequest } from "../load/request.ts";
import { endpointUrl } from "../load/request-body.ts";
import { RequestRecorder } from "../load/request-recorder.ts";

export interface TokenRequest {
  /** Token ids, so that lengths are exact. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly extraBody?: Readonly<Record<string, unknown>>;
  /** Called with the tokens received so far. */
  readonly onText?: (numTokens: number) => void;
  /** Breaks the connection off. */
  readonly signal?: AbortSignal;
}

export interface Answer {
  /** Times are ms on the clock of the client. */
  readonly record: RequestRecord;
  readonly text: string;
}

/** Greedy completions of token-id prompts from any OpenAI-compatible server, always as many tokens as asked for. */
export class TokenClient {
  readonly #clock = new MonotonicClock(process.hrtime.bigint());
  readonly #target: TargetOptions;
  readonly #http: HttpClient;
  #numRequests = 0;

  constructor(url: string, key: string | null = null) {
    this.#target = {
      url,
      api: "completions",
      model: "",
      key,
      timeoutMs: Infinity,
      counting: "usage",
      ignoreEos: true,
      temperature: 0,
      extraBody: {},
    };
    this.#http = new HttpClient({ target: this.#target, clock: this.#clock, slowReadMs: 0 });
  }

  get url(): URL {
    return endpointUrl(this.#target);
  }

  now(): number {
    return this.#clock.now();
  }

  /** Never rejects: what goes wrong is the record's outcome. */
  async complete({ prompt, maxTokens, extraBody, onText, signal }: TokenRequest): Promise<Answer> {
    const request = this.#schedule(maxTokens);
    const recorder = new RequestRecorder(request, this.#target.counting, onText ?? (() => {}));
    const body = JSON.stringify({
      prompt,
      max_tokens: maxTokens,
      temperature: 0,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      ...extraBody,
    });
    // A signal of its own: one that ends a hundred requests would warn of a hundred listeners.
    const own = AbortSignal.any(signal === undefined ? [] : [signal]);
    const failure = await this.#http.send(recorder, body, own).then(
      () => null,
      (error: unknown) => error as Error,
    );
    const record = recorder.finish(this.now(), failure, { worker: 0, cancelled: own.aborted });
    return { record, text: recorder.text() };
  }

  close(): void {
    this.#http.close();
  }

  #schedule(maxTokens: number): ScheduledRequest {
    const index = this.#numRequests++;
    return {
      index,
      sessionIndex: index,
      turn: 0,
      scheduledMs: this.now(),
      segments: [],
      messages: null,
      history: [],
      maxTokens,
      label: "",
      tenant: null,
      schema: null,
      cancelAfterTokens: null,
      slowReader: false,
      captureText: true,
      keepText: false,
      slotWaitMs: 0,
    };
  }
}
