import type { FastifyReply, FastifyRequest } from "fastify";
import type { OriginPolicy } from "./origin-policy.ts";

const preflightHeaders = {
  "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
  "access-control-allow-headers": "*, Authorization",
  "access-control-max-age": "600",
};

/**
 * Cross-origin rules of the Fetch standard. Answers preflights, which browsers send without the key; an OPTIONS that is
 * none goes on like any other request. Returns whether the request was answered.
 */
export function applyCors(request: FastifyRequest, reply: FastifyReply, policy: OriginPolicy): boolean {
  const origin = request.headers.origin;
  if (origin === undefined) return false;
  const isAllowed = policy.allows(origin);
  reply.header("vary", "Origin");
  if (isAllowed) {
    reply.header("access-control-allow-origin", origin);
    reply.header(
      "access-control-expose-headers",
      "x-request-id, retry-after, retry-after-ms, x-should-retry, x-headway-rejected-reason",
    );
  }
  const isPreflight =
    request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined;
  if (!isPreflight) return false;
  if (isAllowed) reply.headers(preflightHeaders);
  reply.code(204).send();
  return true;
}
