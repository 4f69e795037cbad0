import { Counter, Gauge, Histogram } from "prom-client";
import type { Registry } from "prom-client";
import * as buckets from "./buckets.ts";

export interface HttpExchange {
  /** Route template, never a raw path. */
  readonly handler: string;
  readonly method: string;
  readonly status: number;
  readonly durationMs: number;
}

const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Where a generation stood when its client left. */
export type DisconnectPhase = "queued" | "prefill" | "decode";

/** What the server does with its clients' connections. */
export class ServerMetrics {
  readonly #requests: Counter<"handler" | "method" | "status">;
  readonly #durations: Histogram<"handler" | "method">;
  readonly #disconnects: Counter<"phase">;
  readonly #slowClients: Gauge;
  readonly #slowClientsCut: Counter;
  readonly #webSockets: Gauge;
  readonly #webSocketsOpened: Counter;
  readonly #webSocketDurations: Histogram;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "http_requests_total",
      help: "HTTP requests answered",
      labelNames: ["handler", "method", "status"],
      registers,
    });
    this.#durations = new Histogram({
      name: "http_request_duration_seconds",
      help: "Time from a request's headers to the end of its answer",
      labelNames: ["handler", "method"],
      buckets: buckets.latencySeconds,
      registers,
    });
    this.#disconnects = new Counter({
      name: "headway_client_disconnects_total",
      help: "Clients that left before their answer was complete",
      labelNames: ["phase"],
      registers,
    });
    for (const phase of ["queued", "prefill", "decode"]) this.#disconnects.inc({ phase }, 0);
    this.#slowClients = new Gauge({
      name: "headway_slow_clients",
      help: "Streams paused because their reader is slow",
      registers,
    });
    this.#slowClientsCut = new Counter({
      name: "headway_slow_clients_cut_total",
      help: "Streams cut because their reader stayed slow",
      registers,
    });
    this.#webSockets = new Gauge({
      name: "vllm:websocket_connections_active",
      help: "Open WebSockets",
      registers,
    });
    this.#webSocketsOpened = new Counter({
      name: "vllm:websocket_connections_total",
      help: "WebSockets opened",
      registers,
    });
    this.#webSocketDurations = new Histogram({
      name: "vllm:websocket_connection_duration_seconds",
      help: "Time from a WebSocket's opening to its end",
      buckets: buckets.webSocketSeconds,
      registers,
    });
  }

  onHttpExchange({ handler, method, status, durationMs }: HttpExchange): void {
    const known = knownMethods.has(method) ? method : "OTHER";
    this.#requests.inc({ handler, method: known, status: String(status) });
    this.#durations.observe({ handler, method: known }, durationMs / 1000);
  }

  onDisconnect(phase: DisconnectPhase): void {
    this.#disconnects.inc({ phase });
  }

  onStreamPaused(): void {
    this.#slowClients.inc();
  }

  onStreamResumed(): void {
    this.#slowClients.dec();
  }

  onStreamCut(): void {
    this.#slowClientsCut.inc();
  }

  onWebSocketOpen(): void {
    this.#webSockets.inc();
    this.#webSocketsOpened.inc();
  }

  onWebSocketClose(durationMs: number): void {
    this.#webSockets.dec();
    this.#webSocketDurations.observe(durationMs / 1000);
  }
}
