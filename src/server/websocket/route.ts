import websocket from "@fastify/websocket";
import type { FastifyInstance } from "fastify";
import type { WebSocket } from "ws";
import { ApiError } from "../api-error.ts";
import type { WebSocketLimits } from "../dependencies.ts";
import { callerOf } from "../http/caller.ts";
import { sendApiError } from "../http/error-replies.ts";
import type { ServerContext } from "../server-context.ts";
import { WebSocketConnection } from "./connection.ts";
import { ignoreForeignUpgrades } from "./foreign-upgrade.ts";

/** RFC 6455 close code "service restart": come back on a new connection. */
const serviceRestart = 1012;

/** Must come before hooks that refuse requests: the plugin's own marks upgrades, whose sockets it then closes. */
export async function registerWebSocketPlugin(app: FastifyInstance, limits: WebSocketLimits): Promise<void> {
  // A variable, since ws's types lack closeTimeout.
  const options = {
    maxPayload: limits.maxFrameBytes,
    // Compression costs memory for each socket and lets a small frame become a huge one.
    perMessageDeflate: false,
    maxFragments: 1024,
    maxBufferedChunks: 4096,
    closeTimeout: 2000,
  };
  await app.register(websocket, {
    options,
    preClose(done) {
      for (const socket of app.websocketServer.clients) socket.close(serviceRestart, "server restarting");
      app.websocketServer.close(() => done());
    },
  });
  ignoreForeignUpgrades(app.server);
}

/** GET /v1/ws. The upgrade passes the same guards as any request. */
export function registerWebSocketRoute(app: FastifyInstance, context: ServerContext): void {
  app.route({
    method: "GET",
    url: "/v1/ws",
    schema: {
      tags: ["Completions"],
      summary: "Many generations over one WebSocket",
      description: "Its frames are described in docs/websocket.md.",
    },
    handler: (_request, reply) => sendApiError(reply.header("upgrade", "websocket"), upgradeRequired()),
    wsHandler: (socket, request) => {
      const transport = request.socket;
      const connection = new WebSocketConnection({ socket, transport, context, caller: callerOf(request) });
      serveSocket(socket, connection, context);
    },
  });
}

function serveSocket(socket: WebSocket, connection: WebSocketConnection, context: ServerContext): void {
  const { telemetry, config } = context.dependencies;
  const openedAtMs = performance.now();
  telemetry.server.onWebSocketOpen();
  const stopPings = keepAlive(socket, config.webSocket.pingIntervalMs);
  const noteFrame = throttle(socket, config.webSocket);
  socket.on("message", (data, isBinary) => {
    noteFrame();
    connection.onMessage(data, isBinary);
  });
  socket.on("close", () => {
    stopPings();
    connection.close();
    telemetry.server.onWebSocketClose(performance.now() - openedAtMs);
  });
}

/** Pings, and drops a peer that did not answer the last one: a dead network sends no FIN. */
function keepAlive(socket: WebSocket, intervalMs: number): () => void {
  let isAlive = true;
  socket.on("pong", () => {
    isAlive = true;
  });
  const timer = setInterval(() => {
    if (!isAlive) socket.terminate();
    isAlive = false;
    if (socket.readyState === socket.OPEN) socket.ping();
  }, intervalMs);
  return () => clearInterval(timer);
}

/** Stops reading for the rest of a second in which too many frames came; the client feels it as a slow network. */
function throttle(socket: WebSocket, { maxFramesPerSecond }: WebSocketLimits): () => void {
  let windowStartMs = performance.now();
  let numFrames = 0;
  return () => {
    const nowMs = performance.now();
    if (nowMs - windowStartMs >= 1000) {
      windowStartMs = nowMs;
      numFrames = 0;
    }
    numFrames += 1;
    if (numFrames !== maxFramesPerSecond) return;
    socket.pause();
    setTimeout(() => socket.resume(), windowStartMs + 1000 - nowMs);
  };
}

function upgradeRequired(): ApiError {
  return new ApiError("This endpoint speaks WebSocket.", { status: 426, code: "upgrade_required" });
}
