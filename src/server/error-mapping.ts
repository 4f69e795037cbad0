import { ChatTemplateError } from "../../models/text/chat-template-error.ts";
import { GenerationError } from "../engine/generation.ts";
import type { GenerationErrorCode } from "../engine/generation.ts";
import { TextPoolError } from "../text-pool/text-pool-error.ts";
import { ApiError, internalError, invalidJson, invalidValue } from "./api-error.ts";

const statusOfGenerationError: Readonly<Record<GenerationErrorCode, number>> = {
  overloaded: 503,
  rate_limit_exceeded: 429,
  deadline_exceeded: 503,
  model_loading: 503,
  shutting_down: 503,
  engine_unavailable: 503,
  context_length_exceeded: 400,
  internal_error: 500,
};

/** Codes of Fastify's own errors that are the client's doing. */
const fromFastify: Readonly<Record<string, () => ApiError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new ApiError("The request body is too large.", { status: 413, code: "content_too_large" }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: unsupportedMediaType,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    invalidJson("The request body is not as long as Content-Length says."),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => invalidJson("The request body is empty."),
  FST_ERR_BAD_URL: () => new ApiError("The URL is malformed.", { status: 400, code: "invalid_url" }),
};

const defaultRetryAfterMs = 1000;

export function unsupportedMediaType(): ApiError {
  return new ApiError("The request body must be sent as Content-Type: application/json.", {
    status: 415,
    code: "unsupported_media_type",
  });
}

/** Maps whatever was thrown to what the client is told. The only place that knows both sides. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof GenerationError) return fromGenerationError(error);
  if (!(error instanceof Error)) return internalError();
  if (error instanceof ChatTemplateError) return invalidValue(error.param, error.message);
  if (error instanceof TextPoolError) return fromTextPoolError(error);
  return fromFastify[codeOf(error)]?.() ?? internalError();
}

export function overloaded(retryAfterMs: number): ApiError {
  return new ApiError("The server is busy: its queue is full. Try again later.", {
    status: 503,
    code: "overloaded",
    retryAfterMs,
  });
}

/** Retry-After in whole seconds, kept to what SDKs obey: above a minute some wait blindly and some give up. */
function retryAfterSeconds(retryAfterMs: number): number {
  return Math.min(60, Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

/** Headers that go with an error besides the body. */
export function errorHeaders(error: ApiError): Record<string, string> {
  if (error.isLasting) return { "x-should-retry": "false", ...reasonHeaders(error) };
  if (error.status !== 429 && error.status !== 503) return {};
  const seconds = retryAfterSeconds(error.retryAfterMs ?? defaultRetryAfterMs);
  const milliseconds = Math.min(60_000, Math.max(1000, Math.ceil(error.retryAfterMs ?? defaultRetryAfterMs)));
  return {
    "retry-after": String(seconds),
    "retry-after-ms": String(milliseconds),
    ...reasonHeaders(error),
  };
}

/** The second is what routers of llm-d pass on. */
function reasonHeaders({ rejectedReason }: ApiError): Record<string, string> {
  if (rejectedReason === null) return {};
  return { "x-headway-rejected-reason": rejectedReason, "x-llm-d-request-dropped-reason": rejectedReason };
}

function fromGenerationError(error: GenerationError): ApiError {
  const status = statusOfGenerationError[error.code];
  if (status === 500) return internalError();
  const { code, retryAfterMs, reason } = error;
  return new ApiError(error.message, { status, code, retryAfterMs, rejectedReason: reason });
}

function fromTextPoolError(error: TextPoolError): ApiError {
  switch (error.code) {
    case "busy":
      return overloaded(defaultRetryAfterMs);
    case "closed":
      return new ApiError("The server is shutting down.", { status: 503, code: "shutting_down" });
    case "input_too_large":
    case "template_timeout":
    case "tokenize_timeout":
      return invalidValue(null, error.message);
    case "worker_crashed":
    case "vocabulary_unusable":
      return internalError();
  }
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
