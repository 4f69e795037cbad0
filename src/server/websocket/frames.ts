import { Type } from "typebox";
import { ApiError, invalidValue } from "../api-error.ts";
import type { ApiErrorBody } from "../api-error.ts";
import type { Usage } from "../openai/usage.ts";
import { compileBodyCheck } from "../schemas/body-check.ts";
import { isRecord } from "../schemas/record.ts";

/** The protocol of GET /v1/ws; docs/websocket.md describes it for clients. */

const MAX_ID_LENGTH = 128;
const id = Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH });
const credits = Type.Integer({ minimum: 1, maximum: 1_000_000 });

const clientFrameSchemas = {
  start: Type.Object({
    type: Type.Literal("start"),
    id,
    endpoint: Type.Enum(["chat.completions", "completions"]),
    body: Type.Record(Type.String(), Type.Unknown()),
    credits: Type.Optional(credits),
  }),
  cancel: Type.Object({ type: Type.Literal("cancel"), id }),
  credit: Type.Object({ type: Type.Literal("credit"), id, credits }),
  ping: Type.Object({ type: Type.Literal("ping") }),
};

export type StartFrame = Type.Static<(typeof clientFrameSchemas)["start"]>;
export type CancelFrame = Type.Static<(typeof clientFrameSchemas)["cancel"]>;
export type CreditFrame = Type.Static<(typeof clientFrameSchemas)["credit"]>;
type PingFrame = Type.Static<(typeof clientFrameSchemas)["ping"]>;
type ClientFrame = StartFrame | CancelFrame | CreditFrame | PingFrame;

/** Frames the server sends besides `chunk` and `queue`, which channels write themselves. */
export type ServerFrame =
  | { readonly type: "accepted"; readonly id: string; readonly request_id: string }
  | { readonly type: "usage"; readonly id: string; readonly usage: Usage }
  | { readonly type: "done" | "cancelled"; readonly id: string }
  | ErrorFrame
  | { readonly type: "pong" };

/** With an id: that generation is over. Without: a frame was refused, and nothing else is affected. */
export interface ErrorFrame extends ApiErrorBody {
  readonly type: "error";
  readonly id: string | null;
  readonly status: number;
  readonly retry_after_ms?: number;
}

const checks: Readonly<Record<string, (frame: unknown) => ClientFrame>> = {
  start: compileBodyCheck(clientFrameSchemas.start),
  cancel: compileBodyCheck(clientFrameSchemas.cancel),
  credit: compileBodyCheck(clientFrameSchemas.credit),
  ping: compileBodyCheck(clientFrameSchemas.ping),
};

/** Throws ApiError. */
export function parseClientFrame(json: unknown): ClientFrame {
  if (!isRecord(json)) throw invalidValue(null, "A frame must be a JSON object.");
  const { type } = json;
  const check = typeof type === "string" && Object.hasOwn(checks, type) ? checks[type] : undefined;
  if (check === undefined) {
    const message = `'type' must be one of ${Object.keys(checks).join(", ")}.`;
    throw new ApiError(message, { status: 400, code: "unknown_frame_type", param: "type" });
  }
  return check(json);
}

/** Of a start frame that may be wrong otherwise; null when there is none to answer with. */
export function startIdOf(json: unknown): string | null {
  if (!isRecord(json) || json["type"] !== "start" || typeof json["id"] !== "string") return null;
  return json["id"].length > 0 && json["id"].length <= MAX_ID_LENGTH ? json["id"] : null;
}

export function errorFrame(frameId: string | null, error: ApiError): ErrorFrame {
  const frame = { type: "error", id: frameId, status: error.status, ...error.toBody() } as const;
  return error.retryAfterMs === null ? frame : { ...frame, retry_after_ms: error.retryAfterMs };
}
