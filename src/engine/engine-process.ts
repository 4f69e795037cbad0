import { StepLoop } from "./step-loop.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";
import type { StartMeasurements } from "./start-measurements.ts";

/** A loaded model with the scheduler that was sized for it. */
export interface LoadedEngine {
  readonly runner: ModelRunner;
  readonly scheduler: Scheduler;
  /** Lines worth a person's attention: fallbacks, clamped options. */
  readonly notes: readonly string[];
  /** For the engine that may have to replace this one. */
  readonly measured?: StartMeasurements;
  /** Called after every step; `wake` goes on with the next one when something outside has changed. */
  readonly onStep?: (wake: () => void) => void;
  /** Called once when the process is asked to end. */
  readonly onShutdown?: () => void;
}

/** Thrown by a loader when the model can never be served: one sentence for the operator. */
export class ModelRefusedError extends Error {
  override readonly name = "ModelRefusedError";
}

/**
 * Runs the engine's side of the process boundary: load, say so, then step while there is work.
 * The loop yields to the event loop after every step, which is when messages come in.
 */
export async function runEngineProcess(
  load: (send: (message: FromEngine) => void) => Promise<LoadedEngine>,
): Promise<void> {
  exitWithParent();
  const engine = await loadOrRefuse(load);
  const loop = new StepLoop({ ...engine, now: () => performance.now(), deliver: send });
  let isTurning = false;
  const turn = (): void => {
    isTurning = loop.step();
    engine.onStep?.(wake);
    if (isTurning) setImmediate(turn);
  };
  const wake = (): void => {
    if (isTurning) return;
    isTurning = true;
    setImmediate(turn);
  };
  process.on("message", (message: ToEngine) => {
    if (message.shutdown === true) {
      loop.settle();
      shutDown(engine);
    }
    loop.receive(message);
    wake();
  });
  const { runner, scheduler, notes, measured } = engine;
  send({ type: "ready", info: runner.info, notes, pace: scheduler.pace(), ...(measured && { measured }) });
}

async function loadOrRefuse(
  load: (send: (message: FromEngine) => void) => Promise<LoadedEngine>,
): Promise<LoadedEngine> {
  try {
    return await load(send);
  } catch (error) {
    if (!(error instanceof ModelRefusedError)) throw error;
    await new Promise<void>((resolve) => {
      process.send?.({ type: "refused", reason: error.message } satisfies FromEngine, () => {
        resolve();
      });
    });
    process.exit(1);
  }
}

function send(message: FromEngine): void {
  process.send?.(message);
}

/** A server that is gone must not leave an engine behind; terminal signals are the server's to handle. */
function exitWithParent(): void {
  process.on("disconnect", () => process.exit(0));
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
}

function shutDown({ runner, onShutdown }: LoadedEngine): never {
  onShutdown?.();
  runner.close();
  process.exit(0);
}
