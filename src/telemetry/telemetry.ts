import { collectDefaultMetrics, Registry } from "prom-client";
import type { Engine } from "../engine/generation.ts";
import { EngineMetrics } from "./engine-metrics.ts";
import { registerCacheConfig, registerEngineGauges, registerLoraInfo } from "./engine-gauges.ts";
import { ServerMetrics } from "./server-metrics.ts";

/**
 * All that /metrics shows. Two registries of its own: series about the model carry `model_name` and `engine` as default
 * labels, which costs nothing while observing; those about the process do not.
 */
export class Telemetry {
  readonly engine: EngineMetrics;
  readonly server: ServerMetrics;
  readonly #modelRegistry = new Registry();
  readonly #processRegistry = new Registry();

  constructor(modelName: string) {
    this.#modelRegistry.setDefaultLabels({ model_name: modelName, engine: "0" });
    this.engine = new EngineMetrics(this.#modelRegistry);
    this.server = new ServerMetrics(this.#processRegistry);
    collectDefaultMetrics({ register: this.#processRegistry });
  }

  /** Adds the gauges that are read from the engine at each scrape. */
  watch(engine: Engine): void {
    registerEngineGauges(this.#modelRegistry, engine);
    registerCacheConfig(this.#processRegistry, engine);
    registerLoraInfo(this.#processRegistry);
  }

  get contentType(): string {
    return this.#processRegistry.contentType;
  }

  /** Prometheus text format 0.0.4. */
  async render(): Promise<string> {
    const texts = await Promise.all([this.#modelRegistry.metrics(), this.#processRegistry.metrics()]);
    return `${texts.join("\n")}\n`;
  }
}
