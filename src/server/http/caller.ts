import type { FastifyRequest } from "fastify";
import { invalidValue } from "../api-error.ts";
import type { Caller } from "../completion-call.ts";

/** Who asks, from the headers and the key. Throws ApiError. */
export function callerOf(request: FastifyRequest): Caller {
  return { requestId: request.id, tenantId: request.tenantId, priority: priorityOf(request) };
}

function priorityOf(request: FastifyRequest): number | null {
  const header = request.headers["x-vllm-priority"];
  if (header === undefined) return null;
  const priority = Number(header);
  if (typeof header === "string" && /^[+-]?\d+$/.test(header) && Math.abs(priority) <= 2 ** 63) {
    return priority;
  }
  throw invalidValue("priority", "The header X-Vllm-Priority must be an integer.");
}
