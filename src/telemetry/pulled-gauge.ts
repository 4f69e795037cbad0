import { Gauge } from "prom-client";
import type { Registry } from "prom-client";

export interface PulledGauge<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly Label[];
  /** Sets the gauge; called at each scrape. */
  readonly collect: (gauge: Gauge<Label>) => void;
}

/** Registers a gauge whose value is asked for, not kept. */
export function pull<Label extends string = never>(registry: Registry, options: PulledGauge<Label>): void {
  const { name, help, labelNames = [], collect } = options;
  const gauge = new Gauge<Label>({
    name,
    help,
    labelNames,
    registers: [],
    collect() {
      collect(this);
    },
  });
  registry.registerMetric(gauge);
}
