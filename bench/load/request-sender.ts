import type { Clock } from "./clock.ts";
import type { LoadClient } from "./load-client.ts";
import type { TargetOptions } from "./load-options.ts";
import type { PromptWriter } from "./prompt-writer.ts";
import type { RequestRecord, ScheduledRequest } from "./request.ts";

import { requestBody } from "./request-body.ts";
import { RequestError, RequestRecorder } from "./request-recorder.ts";

/** What a reply leaves: its record, and its text where the conversation goes on. */
export interface Reply {
  record: RequestRecord;
  promptText: string;
  text: string;
}

export interface PreparedRequest {
  body: string;
  promptText: string;
}

/** The seam between the load runner and the network, so that runs can be simulated. */
export interface Sender {
  /** Makes text and body ahead of the send time: writing a long prompt must not delay its sending. */
  prepare(request: ScheduledRequest): PreparedRequest;
  /** Never rejects: a failure is a record too. */
  send(request: ScheduledRequest, prepared: PreparedRequest): Promise<Reply>;
  /** Breaks off every running request; their records become errors of kind 'unfinished'. */
  abortAll(): void;
}

export interface RequestSenderOptions {
  target: TargetOptions;
  client: LoadClient;
  clock: Clock;
  promptWriter: PromptWriter;
  worker: number;
  /** Called with the number of tokens in each arriving text chunk. */
  onTokens: (numTokens: number) => void;
}

/** A client that gives up while queued does so after this time. */
const IMPATIENT_MS = 50;

class Cancelled extends Error {}

/** Sends over a real client. */
export class RequestSender implements Sender {
  readonly #options: RequestSenderOptions;
  readonly #running = new Set<AbortController>();

  constructor(options: RequestSenderOptions) {
    this.#options = options;
  }

  prepare(request: ScheduledRequest): PreparedRequest {
    const promptText = this.#options.promptWriter.write(request.segments);
    return { body: JSON.stringify(requestBody(this.#options.target, request, promptText)), promptText };
  }

  async send(request: ScheduledRequest, { body, promptText }: PreparedRequest): Promise<Reply> {
    const { target, client, clock, worker } = this.#options;
    const abort = new AbortController();
    const recorder = new RequestRecorder(request, target.counting, this.#progress(request, abort));
    const timer = this.#watch(request, abort);
    this.#running.add(abort);
    recorder.sent(clock.now());
    let error: Error | null = null;
    try {
      await client.send(recorder, body, abort.signal);
    } catch (caught) {
      error = caught as Error;
    } finally {
      clearTimeout(timer);
      this.#running.delete(abort);
    }
    // Also where the stream then ended by itself: Node drops what it had buffered and calls that the end.
    if (abort.signal.aborted) error = abort.signal.reason as Error;
    const record = recorder.finish(clock.now(), error, { worker, cancelled: error instanceof Cancelled });
    return {
      record,
      promptText,
      text: record.outcome === "ok" && request.captureText ? recorder.text() : "",
    };
  }

  abortAll(): void {
    const reason = new RequestError("unfinished", "still running when the time to drain was over");
    for (const abort of this.#running) abort.abort(reason);
  }

  #progress({ cancelAfterTokens }: ScheduledRequest, abort: AbortController): (numTokens: number) => void {
    let seen = 0;
    return (numTokens) => {
      this.#options.onTokens(numTokens - seen);
      seen = numTokens;
      if (cancelAfterTokens !== null && numTokens >= cancelAfterTokens) abort.abort(new Cancelled());
    };
  }

  #watch({ cancelAfterTokens }: ScheduledRequest, abort: AbortController): NodeJS.Timeout {
    if (cancelAfterTokens === 0) return setTimeout(() => abort.abort(new Cancelled()), IMPATIENT_MS);
    const { timeoutMs } = this.#options.target;
    const reason = new RequestError("timeout", `no end within ${timeoutMs} ms`);
    return setTimeout(() => abort.abort(reason), timeoutMs);
  }
}
