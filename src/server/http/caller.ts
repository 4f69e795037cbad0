import type { FastifyRequest } from "fastify";
import type { LatencyTargets } from "../../engine/generation.ts";
import { invalidValue } from "../api-error.ts";
import type { Caller } from "../completion-call.ts";
import { maxDeadlineMs } from "../schemas/generation-fields.ts";

/** Names of one thing, the preferred one first: our own, those of llm-d, and the ones that llm-d has given up. */
const priorityHeaders = ["x-headway-priority", "x-vllm-priority"];
const fairnessHeaders = [
  "x-headway-tenant",
  "x-llm-d-inference-fairness-id",
  "x-gateway-inference-fairness-id",
];
const ttftHeaders = ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"];
const tpotHeaders = ["x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"];

/** Who asks, from the headers and the key. Throws ApiError. */
export function callerOf(request: FastifyRequest): Caller {
  return {
    requestId: request.id,
    tenantId: request.tenantId,
    priority: priorityOf(request),
    fairnessId: firstHeader(request, fairnessHeaders)?.value ?? null,
    targets: targetsOf(request),
  };
}

function priorityOf(request: FastifyRequest): number | null {
  const header = firstHeader(request, priorityHeaders);
  if (header === null) return null;
  if (/^[+-]?\d{1,19}$/.test(header.value) && isInt64(header.value)) return Number(header.value);
  throw invalidValue("priority", `The header ${header.name} must be an integer of 64 bits.`);
}

function isInt64(digits: string): boolean {
  const value = BigInt(digits.replace("+", ""));
  return BigInt.asIntN(64, value) === value;
}

function targetsOf(request: FastifyRequest): LatencyTargets {
  const ttftMs = millisecondsOf(request, ttftHeaders);
  const tpotMs = millisecondsOf(request, tpotHeaders);
  return { ...(ttftMs !== null && { ttftMs }), ...(tpotMs !== null && { tpotMs }) };
}

function millisecondsOf(request: FastifyRequest, names: readonly string[]): number | null {
  const header = firstHeader(request, names);
  if (header === null) return null;
  const milliseconds = Number(header.value);
  if (milliseconds > 0 && milliseconds <= maxDeadlineMs) return milliseconds;
  throw invalidValue(header.name, `The header ${header.name} must be a number of milliseconds up to a day.`);
}

interface Header {
  readonly name: string;
  readonly value: string;
}

function firstHeader({ headers }: FastifyRequest, names: readonly string[]): Header | null {
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string" && value !== "") return { name, value };
  }
  return null;
}
