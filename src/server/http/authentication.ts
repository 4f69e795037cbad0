import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "../api-error.ts";

/** Checks keys by digest, so that neither their bytes nor their lengths show in the time it takes. */
export class Authenticator {
  readonly #digests: readonly Buffer[];

  constructor(apiKeys: readonly string[]) {
    this.#digests = apiKeys.map(digest);
  }

  /**
   * The caller's tenant: a name derived from its key, "" when no keys are set.
   * Throws ApiError 401 when the key is missing or wrong.
   */
  authenticate(headers: IncomingHttpHeaders): string {
    if (this.#digests.length === 0) return "";
    const key = keyOf(headers);
    if (key === null) throw unauthorized("No API key was given: send it as 'Authorization: Bearer KEY'.");
    const given = digest(key);
    // Every key is compared, for the same reason.
    const matches = this.#digests.filter((known) => timingSafeEqual(known, given));
    if (matches.length === 0) throw unauthorized("The API key is not valid.");
    return given.toString("hex").slice(0, 32);
  }
}

function keyOf(headers: IncomingHttpHeaders): string | null {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  if (bearer !== undefined) return bearer;
  const key = headers["x-api-key"];
  return typeof key === "string" && key !== "" ? key : null;
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function unauthorized(message: string): ApiError {
  return new ApiError(message, { status: 401, code: "invalid_api_key" });
}
