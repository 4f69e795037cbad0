import type { Dispatcher } from "undici";
import { EnvHttpProxyAgent, errors, fetch as undiciFetch, request } from "undici";

import { errorCodeOf, ModelStoreError } from "./model-store-error.ts";
import { redactUrl } from "./model-spec.ts";
import type { StoreOptions } from "./store-context.ts";

export type HttpHeaders = Readonly<Record<string, string>>;

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Dispatcher.ResponseData["body"];
}

export interface HttpRequest {
  readonly url: string;
  readonly headers: HttpHeaders;
  readonly signal: AbortSignal;
}

export interface HttpClient {
  /** GET, following redirects. Throws {@link ModelStoreError} where no answer can be had. */
  get(request: HttpRequest): Promise<HttpResponse>;
  /** For libraries that take a `fetch`; drops credentials on redirects to another origin, as fetch must. */
  readonly fetch: typeof fetch;
  close(): Promise<void>;
}

export type HttpClientOptions = Pick<StoreOptions, "env" | "timing">;

const MAX_REDIRECTS = 5;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);
const UNREACHABLE_CODES = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_PRX_TLS",
]);

/** A client that honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY and gives up on dead hosts soon. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const dispatcher = createDispatcher(options);
  const withDispatcher = (
    input: Parameters<typeof undiciFetch>[0],
    init?: Parameters<typeof undiciFetch>[1],
  ) => undiciFetch(input, { ...init, dispatcher });
  return {
    get: (httpRequest) => followRedirects(httpRequest, dispatcher),
    // Node's fetch is undici's, but their type declarations are two sets of nominally different classes.
    fetch: withDispatcher as unknown as typeof fetch,
    close: () => dispatcher.destroy(),
  };
}

function createDispatcher({ timing, env }: HttpClientOptions): Dispatcher {
  return new EnvHttpProxyAgent({
    connect: { timeout: timing.connectTimeoutMs },
    headersTimeout: timing.answerTimeoutMs,
    bodyTimeout: timing.stallTimeoutMs,
    httpProxy: env["http_proxy"] ?? env["HTTP_PROXY"] ?? "",
    httpsProxy: env["https_proxy"] ?? env["HTTPS_PROXY"] ?? "",
    noProxy: env["no_proxy"] ?? env["NO_PROXY"] ?? "",
  });
}

async function followRedirects(first: HttpRequest, dispatcher: Dispatcher): Promise<HttpResponse> {
  let { url, headers } = first;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
    const response = await send({ url, headers, signal: first.signal }, dispatcher);
    const location = response.headers["location"];
    if (!REDIRECT_STATUSES.has(response.status) || location === undefined) return response;
    await response.body.dump();
    const next = redirectTarget(url, location);
    if (next.origin !== new URL(url).origin) headers = withoutCredentials(headers);
    url = next.href;
  }
  throw new ModelStoreError(
    "bad-redirect",
    `${redactUrl(first.url)} redirects more than ${MAX_REDIRECTS} times`,
  );
}

function redirectTarget(from: string, location: string): URL {
  const next = URL.canParse(location, from) ? new URL(location, from) : null;
  const isDowngrade = from.startsWith("https:") && next?.protocol !== "https:";
  if (next === null || isDowngrade || !/^https?:$/.test(next.protocol)) {
    throw new ModelStoreError("bad-redirect", `${redactUrl(from)} redirects to an address that is not https`);
  }
  return next;
}

/** A token for one host must never reach another one (CVE-2025-51471 of a peer). */
function withoutCredentials(headers: HttpHeaders): HttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^(authorization|cookie)$/i.test(name)),
  );
}

async function send(httpRequest: HttpRequest, dispatcher: Dispatcher): Promise<HttpResponse> {
  const { url, headers, signal } = httpRequest;
  try {
    const response = await request(url, { headers: { ...headers }, signal, dispatcher });
    return { status: response.statusCode, headers: singleHeaders(response.headers), body: response.body };
  } catch (error) {
    throw asHttpError(error, url);
  }
}

function singleHeaders(headers: Dispatcher.ResponseData["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}

/** Gives network errors their sentence and says whether trying again may help. */
export function asHttpError(error: unknown, url: string): unknown {
  if (error instanceof ModelStoreError) return error;
  if (error instanceof Error && error.name === "AbortError")
    return new ModelStoreError("aborted", "the download was cancelled");
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  const code = errorCodeOf(cause) || errorCodeOf(firstOf(cause));
  const host = new URL(url).host;
  if (UNREACHABLE_CODES.has(code) || /CERT|SSL|TLS|SIGNED/.test(code)) {
    return new ModelStoreError("unreachable", `${host} cannot be reached (${code})`, { cause: error });
  }
  if (cause instanceof errors.UndiciError || /^(ECONN|EPIPE|HPE_)/.test(code)) {
    return new ModelStoreError("interrupted", `the connection to ${host} broke (${code})`, { cause: error });
  }
  return error;
}

function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? error.errors[0] : undefined;
}

const TRANSIENT_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What an answer that is no file means. */
export function asStatusError(status: number, url: string): ModelStoreError {
  const address = redactUrl(url);
  if (status === 401 || status === 403) {
    return new ModelStoreError(
      "not-authorized",
      `${address} may not be read (status ${status}); a gated model needs its licence accepted on the hub and HF_TOKEN set`,
    );
  }
  if (status === 404) return new ModelStoreError("not-found", `there is nothing at ${address} (status 404)`);
  const code = TRANSIENT_STATUSES.has(status) ? "interrupted" : "http-status";
  return new ModelStoreError(code, `${address} answered with status ${status}`);
}
