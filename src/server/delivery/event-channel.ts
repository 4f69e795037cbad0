import type { QueuePlace } from "../../engine/generation.ts";
import type { ApiError } from "../api-error.ts";
import type { Usage } from "../openai/usage.ts";

/** One stream to one client, whatever it travels on. After `end` or `fail` it takes nothing more. */
export interface EventChannel {
  /** Tells a waiting client where it stands; clients that do not know of this pass it over. */
  tellPlace(place: QueuePlace): void;
  /** Sends one chunk, a JSON text. */
  send(chunk: string): void;
  end(usage: Usage): void;
  fail(error: ApiError): void;
}

/** How a channel acts on the generation that feeds it. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  /** The reader is too slow; nothing more can be delivered. */
  cut(): void;
}
