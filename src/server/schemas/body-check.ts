import { Ajv } from "ajv";
import type { ErrorObject } from "ajv";
import type { Static, TSchema } from "typebox";
import { ApiError, invalidValue } from "../api-error.ts";

// Unknown fields pass: SDKs newer than this server send them. Nothing is coerced: "1" is not 1.
const ajv = new Ajv({ strict: false, coerceTypes: false, removeAdditional: false, useDefaults: false });

/** Builds a check that turns a parsed JSON body into its typed form, or throws an ApiError naming the field. */
export function compileBodyCheck<Schema extends TSchema>(schema: Schema): (body: unknown) => Static<Schema> {
  const validate = ajv.compile<Static<Schema>>(schema);
  return (body) => {
    const present = withoutNulls(requireObject(body));
    if (validate(present)) return present;
    // Of a failed union the last error is the union's own, after those of its branches.
    throw toFieldError(validate.errors?.at(-1));
  };
}

function requireObject(body: unknown): Record<string, unknown> {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return { ...body };
  throw new ApiError("The request body must be a JSON object.", { status: 400, code: "invalid_json" });
}

/** On the wire, null says the same as leaving the field out. */
function withoutNulls(body: Record<string, unknown>): unknown {
  for (const [key, value] of Object.entries(body)) {
    if (value === null) delete body[key];
  }
  return body;
}

function toFieldError(error: ErrorObject | undefined): ApiError {
  if (error === undefined) return invalidValue(null, "The request body is invalid.");
  const path = fieldPath(error);
  const name = path === "" ? "The request body" : `'${path}'`;
  return invalidValue(path === "" ? null : path, `${name} ${explain(error)}.`);
}

/** "/stop/3" becomes "stop[3]", "/stream_options/x" becomes "stream_options.x". */
function fieldPath(error: ErrorObject): string {
  const missing = error.keyword === "required" ? `/${String(error.params["missingProperty"])}` : "";
  const segments = `${error.instancePath}${missing}`.split("/").slice(1);
  return segments
    .map((segment) => (/^\d+$/.test(segment) ? `[${segment}]` : `.${segment}`))
    .join("")
    .replace(/^\./, "");
}

function explain(error: ErrorObject): string {
  switch (error.keyword) {
    case "required":
      return "is required";
    case "enum":
      return `must be one of ${JSON.stringify(error.params["allowedValues"])}`;
    case "anyOf":
      return "is of the wrong type";
    case "minItems":
    case "minLength":
      return "must not be empty";
    case "maxItems":
    case "maxProperties":
      return `must not hold more than ${String(error.params["limit"])} entries`;
    case "type":
      return `must be of type ${String(error.params["type"])}`;
    default:
      return error.message ?? "is invalid";
  }
}
