/** Text of a wanted token length that is the same wherever the same seed appears, or literal text. */
export type PromptSegment = { seed: number; numTokens: number } | { text: string };

export interface ChatMessage {
  role: string;
  content: string;
}

export interface Tenant {
  name: string;
  /** Sent as the bearer key instead of `--key`. */
  key: string | null;
}

/** One request as a workload describes it: compact, its text is made just before it is sent. */
export interface PlannedRequest {
  segments: readonly PromptSegment[];
  /** The user's own chat messages, sent as they are; `segments` is then empty. */
  messages: readonly ChatMessage[] | null;
  maxTokens: number;
  /** Class of the request in reports, such as 'intruder'. */
  label: string;
  tenant: Tenant | null;
  /** JSON schema that the output must follow. */
  schema: object | null;
}

/** Requests that follow one another: a conversation, or a single request. */
export interface Session {
  /** Arrival in ms since the start of the run, where the workload itself says so (a trace). */
  atMs: number | null;
  turns: readonly PlannedRequest[];
  /** Pause between a reply's end and the next turn. */
  thinkMs: number;
}

/** A request in its place in the run, with the client behaviour drawn for it. */
export interface ScheduledRequest extends PlannedRequest {
  index: number;
  sessionIndex: number;
  turn: number;
  scheduledMs: number;
  /** Earlier turns of the conversation, replies included. */
  history: readonly ChatMessage[];
  /** Break the connection after this many output tokens (0: while still waiting). */
  cancelAfterTokens: number | null;
  slowReader: boolean;
  /** The text is needed: the conversation goes on, or it is kept in the record. */
  captureText: boolean;
  keepText: boolean;
  slotWaitMs: number;
}

/** How output tokens were attributed to chunks; see docs/bench.md, "Counting tokens". */
export type TokenCountSource = "continuous_usage" | "logprobs" | "usage" | "chunks" | "none";

export type Outcome = "ok" | "error" | "cancelled";

/**
 * Everything measured about one request: a line of the JSONL output. Times are milliseconds since the
 * start of the run, on one monotonic clock for all workers.
 */
export interface RequestRecord {
  index: number;
  session: number;
  turn: number;
  worker: number;
  label: string;
  tenant: string | null;
  scheduledMs: number;
  /** Wait for a free place under `--concurrency`; the rest of sent - scheduled is the client's own lag. */
  slotWaitMs: number;
  sentMs: number;
  /** Response headers arrived. */
  headersMs: number | null;
  /** Arrival of each chunk that carried text, and the tokens counted in it. */
  chunkMs: number[];
  chunkTokens: number[];
  endMs: number;
  requestedInputTokens: number | null;
  maxTokens: number;
  promptTokens: number | null;
  cachedTokens: number | null;
  outputTokens: number;
  tokenCountSource: TokenCountSource;
  /** Wait in the server before prefill, where it can be told; see RequestRecorder. */
  serverQueueMs: number | null;
  finishReason: string | null;
  status: number | null;
  requestId: string | null;
  outcome: Outcome;
  errorKind: string | null;
  errorMessage: string | null;
  slowReader: boolean;
  /** The reply, where it was asked for. */
  text: string | null;
}
