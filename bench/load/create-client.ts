import type { HttpClientOptions } from "./http-client.ts";
import type { LoadClient } from "./load-client.ts";

import { HttpClient } from "./http-client.ts";
import { WebSocketClient } from "./websocket-client.ts";

/** The client for the target's endpoint. */
export function createClient(options: HttpClientOptions): LoadClient {
  return options.target.api === "websocket" ? new WebSocketClient(options) : new HttpClient(options);
}
