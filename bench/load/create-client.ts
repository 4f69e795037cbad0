import type { HttpClientOptions } from "./http-client.ts";
import type { LoadClient } from "./load-client.ts";

import { HttpClient } from "./http-client.ts";

/** The client for the target's endpoint. */
export function createClient(options: HttpClientOptions): LoadClient {
  return new HttpClient(options);
}
