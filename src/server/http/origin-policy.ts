import type { IncomingMessage } from "node:http";
import { ApiError } from "../api-error.ts";

/** Which web pages may call the server. */
export class OriginPolicy {
  readonly #origins: ReadonlySet<string>;
  readonly #allowedHosts: ReadonlySet<string>;

  constructor(corsOrigins: readonly string[], allowedHosts: readonly string[]) {
    this.#origins = new Set(corsOrigins);
    this.#allowedHosts = new Set(allowedHosts.map((host) => host.toLowerCase()));
  }

  allows(origin: string): boolean {
    if (this.#origins.has("*") || this.#origins.has(origin)) return true;
    return this.#origins.has("localhost") && isLocalOrigin(origin);
  }

  /**
   * Refuses a Host that is not loopback's own on a loopback connection. A page can point its own name at 127.0.0.1
   * (DNS rebinding) and would then be of the same origin; the name it used still shows in Host.
   */
  checkHost(request: IncomingMessage): void {
    if (!isLoopbackAddress(request.socket.localAddress)) return;
    const host = hostName(request.headers.host ?? "");
    if (isLocalName(host) || this.#allowedHosts.has(host)) return;
    throw new ApiError("This Host is not allowed.", { status: 403, code: "host_not_allowed" });
  }

  /** A WebSocket has no preflight: the browser connects whatever the origin is, so the server must refuse. */
  checkUpgrade(request: IncomingMessage): void {
    const origin = request.headers.origin;
    if (origin === undefined || this.allows(origin)) return;
    throw new ApiError("This Origin is not allowed.", { status: 403, code: "origin_not_allowed" });
  }
}

function isLocalOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLocalName(hostName(new URL(origin).host));
}

/** The name of "name:port" or "[address]:port". */
function hostName(host: string): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "")
    .toLowerCase();
}

function isLocalName(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost") || isLoopbackAddress(name);
}

function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  return address === "::1" || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(address);
}
