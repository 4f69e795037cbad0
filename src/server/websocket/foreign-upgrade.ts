import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";

type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** What makes a request an offer of another protocol (RFC 9110 §7.8, RFC 7540 §3.2). */
const offerHeaders: ReadonlySet<string> = new Set(["connection", "upgrade", "http2-settings"]);

/**
 * Answers a request that offers another protocol than WebSocket as if it offered none: Java's own client, for one,
 * offers HTTP/2 with its first request. Node has given such a connection up by then, so it is handed back with the
 * request to be read again. Comes after whatever listens for WebSockets.
 */
export function ignoreForeignUpgrades(server: Server): void {
  const listeners = server.listeners("upgrade") as UpgradeListener[];
  server.removeAllListeners("upgrade");
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === "websocket") {
      for (const listener of listeners) listener.call(server, request, socket, head);
    } else {
      socket.unshift(Buffer.concat([withoutOffer(request), head]));
      server.emit("connection", socket);
    }
  });
}

/** The head of the request as it came, as bytes. */
function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (!offerHeaders.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
