import type { FastifyRequest } from "fastify";
import { invalidValue } from "../api-error.ts";

export interface NumberRange {
  readonly minimum: number;
  readonly maximum?: number;
}

/** A whole number from the query string; null when it is not there. Throws ApiError for anything else. */
export function wholeNumberOf(
  { query }: FastifyRequest,
  name: string,
  { minimum, maximum = 999_999_999 }: NumberRange,
): number | null {
  const value = (query as Record<string, unknown>)[name];
  if (value === undefined) return null;
  const number = Number(value);
  if (typeof value === "string" && /^\d{1,9}$/.test(value) && number >= minimum && number <= maximum)
    return number;
  throw invalidValue(name, `'${name}' must be a whole number from ${minimum} to ${maximum}.`);
}
