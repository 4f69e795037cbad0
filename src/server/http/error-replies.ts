import type { Socket } from "node:net";
import type { ConnectionError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ApiError } from "../api-error.ts";
import { errorHeaders, toApiError } from "../error-mapping.ts";
import { discardBody } from "./discard-body.ts";
import { newRequestId } from "./request-id.ts";
import { allowedMethods } from "./route-table.ts";
import type { RouteTable } from "./route-table.ts";

export function sendApiError(reply: FastifyReply, error: ApiError): FastifyReply {
  return reply.code(error.status).headers(errorHeaders(error)).send(error.toBody());
}

/** Every failure leaves as an ApiError's body; what was not foreseen is logged, as it is our defect. */
export function registerErrorReplies(app: FastifyInstance, routes: RouteTable): void {
  app.setErrorHandler(async (error, request, reply) => {
    const apiError = toApiError(error);
    if (apiError.status === 500) request.log.error({ err: error }, "request failed");
    if (apiError.status === 413) await discardBody(request.raw);
    return sendApiError(reply, apiError);
  });
  app.setNotFoundHandler((request, reply) => sendApiError(reply, notFoundOf(request, reply, routes)));
}

function notFoundOf(request: FastifyRequest, reply: FastifyReply, routes: RouteTable): ApiError {
  const methods = allowedMethods(routes, request.url);
  if (methods.length === 0) {
    return new ApiError("There is no such endpoint.", { status: 404, code: "not_found" });
  }
  reply.header("allow", methods.join(", "));
  return new ApiError(`This endpoint takes ${methods.join(", ")}.`, {
    status: 405,
    code: "method_not_allowed",
  });
}

const clientErrors: Readonly<Record<string, readonly [number, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "The request took too long to arrive."],
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "The request headers are too large."],
};

/** Answers what is not even HTTP; no request object exists then. */
export function onClientError(error: ConnectionError, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, message] = clientErrors[error.code] ?? [
    400,
    "Bad Request",
    "Malformed HTTP request.",
  ];
  const body = JSON.stringify(new ApiError(message, { status, code: "bad_request" }).toBody());
  const headers = [
    `X-Request-Id: ${newRequestId()}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ].join("\r\n");
  socket.end(`HTTP/1.1 ${status} ${reason}\r\n${headers}\r\n\r\n${body}`);
}
