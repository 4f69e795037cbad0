import type { FastifyRequest } from "fastify";
import { invalidValue } from "../api-error.ts";

/** A whole number from the query string; null when it is not there. Throws ApiError for anything else. */
export function wholeNumberOf({ query }: FastifyRequest, name: string, minimum: number): number | null {
  const value = (query as Record<string, unknown>)[name];
  if (value === undefined) return null;
  const number = Number(value);
  if (typeof value === "string" && /^\d{1,9}$/.test(value) && number >= minimum) return number;
  throw invalidValue(name, `'${name}' must be a whole number, at least ${minimum}.`);
}
