import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** What may be echoed: bounded, and nothing that a log or a header could trip over. */
const echoable = /^[\w.:/+=@-]{1,128}$/;

/** The caller's X-Request-Id when it is well formed, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && echoable.test(given) ? given : newRequestId();
}

export function newRequestId(): string {
  return `req_${randomUUID().replaceAll("-", "")}`;
}
