import type { Logger } from "pino";
import type { Engine } from "../engine/generation.ts";
import type { ChatTemplateInput, TokenizeOptions } from "../text-pool/text-job.ts";
import type { PrefixStore } from "./prefix-store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

/**
 * Text to tokens, in another process: hostile input may kill that one.
 * Rejects with ChatTemplateError (the template refuses the messages) or TextPoolError.
 */
export interface TextService {
  tokenize(text: string, options: TokenizeOptions): Promise<number[]>;
  tokenizeChat(chat: ChatTemplateInput): Promise<{ readonly tokenIds: number[] }>;
  readonly vocabulary: {
    /** Exact bytes of each token, by id. */
    readonly pieces: readonly Uint8Array[];
    /** Whether the tokenizer puts a space before the first word of a text. */
    readonly addSpacePrefix: boolean;
  };
}

/** How much of a stream may wait for a slow reader. */
export interface StreamBufferLimits {
  /** Above it the generation pauses. */
  readonly softBytes: number;
  /** Above it the stream is cut. */
  readonly hardBytes: number;
  /** A stream that has been paused for longer is cut. */
  readonly maxPausedMs: number;
}

export interface WebSocketLimits {
  readonly maxFrameBytes: number;
  /** Concurrent generations of one socket. */
  readonly maxGenerations: number;
  readonly maxFramesPerSecond: number;
  /** Between pings; a peer that misses one is dropped at the next. */
  readonly pingIntervalMs: number;
}

export interface ServerConfig {
  /** None means that every caller is let in. */
  readonly apiKeys: readonly string[];
  readonly servedModelName: string;
  /** Choices that may wait for a place in the batch. */
  readonly maxQueue: number;
  readonly bodyLimitBytes: number;
  /** Origins that browsers may call from: exact ones, "localhost" for any local one, or "*". */
  readonly corsOrigins: readonly string[];
  /** Names besides loopback's own that a Host header may give on a loopback connection. */
  readonly allowedHosts: readonly string[];
  /** Output bound of a chat request that names none. */
  readonly defaultMaxTokens: number;
  /** Seed of requests that name none; null draws one for each. */
  readonly defaultSeed: number | null;
  /** Requests may ask for what holds for all of them then. */
  readonly isDeterministic: boolean;
  /** Computed prompts are kept for those who begin alike. */
  readonly keepsPrefixes: boolean;
  /** Of one prompt. */
  readonly maxNumChoices: number;
  /** Prompts of one request, also times their choices. */
  readonly maxNumSequences: number;
  readonly maxNumStopStrings: number;
  /** Puts /metrics behind the key. */
  readonly guardMetrics: boolean;
  readonly ssePingIntervalMs: number;
  readonly streamBuffer: StreamBufferLimits;
  /** Without a finished step for this long, while work waits, the server calls itself unready. */
  readonly stallAfterMs: number;
  readonly webSocket: WebSocketLimits;
}

export const defaultServerConfig: ServerConfig = {
  apiKeys: [],
  servedModelName: "model",
  maxQueue: 2048,
  bodyLimitBytes: 8 * 1024 * 1024,
  corsOrigins: ["localhost"],
  allowedHosts: [],
  defaultMaxTokens: 2048,
  defaultSeed: null,
  isDeterministic: false,
  keepsPrefixes: true,
  maxNumChoices: 256,
  maxNumSequences: 1024,
  maxNumStopStrings: 16,
  guardMetrics: false,
  ssePingIntervalMs: 15_000,
  streamBuffer: { softBytes: 256 * 1024, hardBytes: 1024 * 1024, maxPausedMs: 10_000 },
  stallAfterMs: 10_000,
  webSocket: {
    maxFrameBytes: 8 * 1024 * 1024,
    maxGenerations: 256,
    maxFramesPerSecond: 1000,
    pingIntervalMs: 30_000,
  },
};

/** All that the server needs from outside; nothing in its folder reads the environment. */
export interface AppDependencies {
  readonly engine: Engine;
  readonly text: TextService;
  readonly config: ServerConfig;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly version: string;
  /** Where registered prefixes outlive this process; nowhere without it. */
  readonly prefixStore?: PrefixStore;
}
