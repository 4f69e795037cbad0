import type { Session } from "../load/request.ts";
import type { WorkloadOptions } from "./workload-options.ts";

import { promptFileSessions } from "./prompt-file.ts";
import {
  intruderSessions,
  multiTurnSessions,
  randomSessions,
  sharedPrefixSessions,
} from "./synthetic-sessions.ts";
import { assignTenants } from "./tenants.ts";
import { traceSessions } from "./trace-sessions.ts";

/**
 * The sessions of a workload, endless except for traces. Reads files, so call it once per process, and
 * iterate lazily: prompts are recipes until they are sent.
 */
export function createSessions(options: WorkloadOptions): Iterable<Session> {
  return assignTenants(plainSessions(options), options);
}

function plainSessions(options: WorkloadOptions): Iterable<Session> {
  switch (options.name) {
    case "shared-prefix":
      return sharedPrefixSessions(options);
    case "multi-turn":
      return multiTurnSessions(options);
    case "intruder":
      return intruderSessions(options);
    case "trace":
      return traceSessions(options);
    case "prompts":
      return promptFileSessions(options);
    case "random":
    case "lognormal":
    case "tenants":
    case "json-schema":
      return randomSessions(options);
  }
}
