/** What a client is told when its request fails. Messages hold no paths, addresses, stack traces or keys. */
export interface ApiErrorOptions {
  readonly status: number;
  readonly code: string | null;
  readonly type?: string;
  /** The request's field at fault. */
  readonly param?: string | null;
  readonly retryAfterMs?: number | null;
  /** Why a request that another time would be served was refused, for machines. */
  readonly rejectedReason?: string | null;
  /** Further keys of the error object. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface ApiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

const typeOfStatus: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  429: "rate_limit_error",
  500: "server_error",
  503: "unavailable_error",
};

/** Of refusals whose code says it all. */
const reasonOfCode: Readonly<Record<string, string>> = {
  overloaded: "queue_requests",
  model_loading: "loading",
  shutting_down: "draining",
  engine_unavailable: "engine_unavailable",
};

/** The one kind of error that reaches a client; every other is mapped to it at the edge. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string | null;
  readonly type: string;
  readonly param: string | null;
  readonly retryAfterMs: number | null;
  readonly rejectedReason: string | null;
  readonly #details: Readonly<Record<string, unknown>>;

  constructor(message: string, options: ApiErrorOptions) {
    super(message);
    this.status = options.status;
    this.code = options.code;
    this.type = options.type ?? typeOfStatus[options.status] ?? "invalid_request_error";
    this.param = options.param ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.rejectedReason = options.rejectedReason ?? reasonOfCode[options.code ?? ""] ?? null;
    const reason = this.rejectedReason;
    this.#details = { ...(reason !== null && { reason }), ...options.details };
  }

  /** The same request would fail again. SDKs repeat every 5xx unless they are told. */
  get isLasting(): boolean {
    if (this.status === 500) return true;
    return this.code === "deadline_exceeded" && this.retryAfterMs === null;
  }

  /** OpenAI's body: all four keys, always. */
  toBody(): ApiErrorBody {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code, ...this.#details } };
  }
}

export function invalidValue(param: string | null, message: string): ApiError {
  return new ApiError(message, { status: 400, code: "invalid_value", param });
}

/** For what other servers can do and this one does not: refused by name, never dropped in silence. */
export function unsupportedParameter(param: string, message?: string): ApiError {
  const text = message ?? `'${param}' is not supported by this server.`;
  return new ApiError(text, { status: 400, code: "unsupported_parameter", param });
}

export function invalidJson(message: string): ApiError {
  return new ApiError(message, { status: 400, code: "invalid_json" });
}

export function modelNotFound(model: string): ApiError {
  // A name from the client may be of any length; the message need not be.
  const shown = model.length > 200 ? `${model.slice(0, 200)}…` : model;
  return new ApiError(`The model '${shown}' does not exist.`, {
    status: 404,
    code: "model_not_found",
    param: "model",
  });
}

export interface ContextSizes {
  readonly param: string;
  readonly numPromptTokens: number;
  readonly maxModelLen: number;
}

export function contextLengthExceeded(message: string, sizes: ContextSizes): ApiError {
  return new ApiError(message, {
    status: 400,
    code: "context_length_exceeded",
    param: sizes.param,
    details: { n_prompt_tokens: sizes.numPromptTokens, n_ctx: sizes.maxModelLen },
  });
}

export function requestAborted(): ApiError {
  // 400, since SDKs repeat a request after 409 and 5xx, and an abort asks for the opposite.
  return new ApiError("The request was aborted.", { status: 400, code: "request_aborted" });
}

export function internalError(): ApiError {
  return new ApiError("The server failed to answer this request.", { status: 500, code: "internal_error" });
}
