import type { ModelInfo } from "../../models/model-info.ts";
import { EngineChild, type EngineExit } from "./engine-child.ts";
import type { EngineState } from "./generation.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";
import { isSelfInflicted, RestartPolicy } from "./restart-policy.ts";
import type { StartMeasurements } from "./start-measurements.ts";

export interface SupervisorLogger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface SupervisorOptions {
  readonly entry: string;
  readonly settings: unknown;
  readonly logger: SupervisorLogger;
  readonly now: () => number;
  /** Silence with work waiting after which an engine with this model is taken for hung, killed and replaced. */
  readonly hangTimeoutMs: (model: ModelInfo) => number;
  readonly maxFruitlessRestarts: number;
  readonly onLoadProgress?: (progress: number) => void;
  readonly hasWork: () => boolean;
  readonly onMessage: (message: FromEngine) => void;
  readonly onUp: () => void;
  readonly onDeath: (exit: EngineExit & { readonly isSelfInflicted: boolean }) => void;
  readonly onGivenUp: () => void;
}

const STOP_TIMEOUT_MS = 5000;

/** Keeps one engine process alive: starts it, watches for silence, restarts it after a death until that is hopeless. */
export class EngineSupervisor {
  readonly #options: SupervisorOptions;
  readonly #policy: RestartPolicy;
  #child: EngineChild | null = null;
  #state: EngineState = "loading";
  #model: ModelInfo | null = null;
  #notes: readonly string[] = [];
  #measured: StartMeasurements | null = null;
  #numRestarts = 0;
  #heardAtMs: number;
  #startup: PromiseWithResolvers<ModelInfo> | null = null;
  #restartTimer: NodeJS.Timeout | null = null;
  #watchdog: NodeJS.Timeout | null = null;
  #refusal: string | null = null;
  /** What native code printed that may tell why it ended. */
  #complaint: string | null = null;
  #isIdle = true;
  #wasHung = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#policy = new RestartPolicy({ maxFruitlessRestarts: options.maxFruitlessRestarts });
    this.#heardAtMs = options.now();
  }

  get state(): EngineState {
    return this.#state;
  }

  get model(): ModelInfo | null {
    return this.#model;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  get numRestarts(): number {
    return this.#numRestarts;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<ModelInfo> {
    this.#startup = promiseWithResolvers<ModelInfo>();
    this.#spawn();
    this.#watchdog = setInterval(() => {
      this.#killIfHung();
    }, 1000);
    this.#watchdog.unref();
    return this.#startup.promise;
  }

  post(message: ToEngine): void {
    if (this.#state !== "ready") return;
    // Silence counts from the moment there is something to do.
    if (this.#isIdle || message.resume !== undefined) this.#heardAtMs = this.#options.now();
    if (message.submit !== undefined) this.#isIdle = false;
    this.#child?.post(message);
  }

  noteProgress(): void {
    this.#policy.noteProgress();
  }

  lastStepAgeMs(): number {
    return this.#options.hasWork() ? this.#options.now() - this.#heardAtMs : 0;
  }

  /** Ends the engine, whatever it does; a `start` that still waits rejects. */
  async stop(): Promise<void> {
    // Native code that loads a model hears nothing until it is done, and has nothing to lose.
    if (this.#state !== "ready") this.#child?.kill();
    this.#state = "stopped";
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    if (this.#watchdog !== null) clearInterval(this.#watchdog);
    await this.#child?.stop(STOP_TIMEOUT_MS);
    this.#startup?.reject(new EngineStartError("The engine was stopped while it started."));
    this.#startup = null;
  }

  #spawn(): void {
    this.#heardAtMs = this.#options.now();
    this.#child = new EngineChild({
      entry: this.#options.entry,
      settings: this.#options.settings,
      measured: this.#measured,
      onMessage: (message) => {
        this.#onMessage(message);
      },
      onExit: (exit) => {
        this.#onExit(exit);
      },
      onOutput: (line) => {
        if (/assert|error|fatal/i.test(line)) this.#complaint ??= line;
        this.#options.logger.debug(`engine: ${line}`);
      },
    });
  }

  #onMessage(message: FromEngine): void {
    this.#heardAtMs = this.#options.now();
    switch (message.type) {
      case "loading":
        this.#options.onLoadProgress?.(message.progress);
        break;
      case "log":
        this.#log(message.level, message.message);
        break;
      case "ready":
        this.#onReady(message);
        break;
      case "refused":
        this.#refusal = message.reason;
        break;
      case "threads":
        this.#options.logger.warn(`compute threads: ${message.numThreads} (${message.reason})`);
        break;
      case "step":
        this.#isIdle = message.stats.numRunning + message.stats.numWaiting === 0;
        break;
    }
    this.#options.onMessage(message);
  }

  /** An error that ends the first start comes back in its one sentence. */
  #log(level: keyof SupervisorLogger, message: string): void {
    const isToldLater = level === "error" && this.#startup !== null;
    this.#options.logger[isToldLater ? "debug" : level](message);
  }

  #onReady(message: Extract<FromEngine, { type: "ready" }>): void {
    if (this.#state === "stopped") return;
    this.#model = message.info;
    this.#notes = message.notes;
    this.#measured = message.measured ?? null;
    this.#state = "ready";
    this.#startup?.resolve(message.info);
    this.#startup = null;
    this.#options.onUp();
  }

  #onExit(exit: EngineExit): void {
    if (this.#state === "stopped") return;
    const how = exit.signal ?? `exit code ${exit.code}`;
    if (this.#refusal !== null || this.#startup !== null) {
      this.#giveUp(this.#refusal ?? endedWhileLoading(how, this.#complaint));
      return;
    }
    this.#state = "restarting";
    this.#options.logger.error(`engine process ended (${how})`);
    this.#options.onDeath({ ...exit, isSelfInflicted: this.#wasHung || isSelfInflicted(exit) });
    this.#wasHung = false;
    const delayMs = this.#policy.nextDelayMs();
    if (delayMs === null) this.#giveUp("The engine keeps dying; it is not restarted any more.");
    else this.#restartAfter(delayMs);
  }

  #restartAfter(delayMs: number): void {
    this.#restartTimer = setTimeout(() => {
      this.#numRestarts++;
      this.#options.logger.warn(`restarting the engine (restart ${this.#numRestarts})`);
      this.#spawn();
    }, delayMs);
  }

  #giveUp(reason: string): void {
    this.#state = "failed";
    // Who waits for the first start tells the reason; later nobody else does.
    if (this.#startup === null) this.#options.logger.error(reason);
    else this.#startup.reject(new EngineStartError(reason));
    this.#startup = null;
    this.#options.onGivenUp();
  }

  #killIfHung(): void {
    if (this.#state !== "ready" || this.#model === null) return;
    const timeoutMs = this.#options.hangTimeoutMs(this.#model);
    if (this.lastStepAgeMs() <= timeoutMs) return;
    this.#options.logger.error(`no step for ${timeoutMs} ms while work waits: killing the engine`);
    this.#wasHung = true;
    this.#child?.kill();
  }
}

function endedWhileLoading(how: string, complaint: string | null): string {
  const why = how === "SIGKILL" ? "; systems kill what takes more memory than there is" : "";
  const said = complaint === null ? "." : `: ${complaint}`;
  return `The engine process ended while loading the model (${how}${why})${said}`;
}

/** The first engine could not be brought up: one sentence for the operator. */
export class EngineStartError extends Error {
  override readonly name = "EngineStartError";
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** Promise.withResolvers, which Node 20 lacks. */
function promiseWithResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise;
    reject = rejectPromise;
  });
  return { promise, resolve, reject };
}
