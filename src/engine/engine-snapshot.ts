import type { SchedulerSnapshot } from "../../scheduler/scheduler-snapshot.ts";
import { GenerationError } from "./generation.ts";
import type { StepRecord } from "./step-history.ts";

/** What an engine process tells about itself when it is asked. Plain JSON. */
export interface EngineSnapshot extends SchedulerSnapshot {
  /** Step time to keep while sequences decode, asked for or chosen. */
  readonly targetItlMs: number;
  /** Oldest first. */
  readonly steps: readonly StepRecord[];
}

interface Pending {
  readonly resolve: (snapshot: EngineSnapshot) => void;
  readonly reject: (error: GenerationError) => void;
}

/** Questions to the engine process that wait for their answers. */
export class SnapshotRequests {
  readonly #pending = new Map<number, Pending>();
  #count = 0;

  /** `send` gets the question's id. Rejects when the engine dies first. */
  ask(send: (id: number) => void): Promise<EngineSnapshot> {
    const id = this.#count++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      send(id);
    });
  }

  answer(id: number, snapshot: EngineSnapshot): void {
    this.#pending.get(id)?.resolve(snapshot);
    this.#pending.delete(id);
  }

  failAll(): void {
    for (const { reject } of this.#pending.values()) reject(engineUnavailable());
    this.#pending.clear();
  }
}

export function engineUnavailable(): GenerationError {
  return new GenerationError("engine_unavailable", "The engine is not running now.", 1000);
}
