import { fork, type ChildProcess } from "node:child_process";
import { engineEnvironment } from "./engine-environment.ts";
import { Outbox } from "./outbox.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";
import type { StartMeasurements } from "./start-measurements.ts";

/** How an engine process ended. */
export interface EngineExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface EngineChildOptions {
  /** Compiled entry file of the child. */
  readonly entry: string;
  /** Passed to the child as JSON. */
  readonly settings: unknown;
  /** What the engine that this one replaces has measured; null for the first. Passed in the same way. */
  readonly measured: StartMeasurements | null;
  readonly onMessage: (message: FromEngine) => void;
  readonly onExit: (exit: EngineExit) => void;
  /** A line the native code printed. */
  readonly onOutput: (line: string) => void;
}

/** One engine process. Outgoing work of one event-loop turn travels in one message. */
export class EngineChild {
  readonly #process: ChildProcess;
  readonly #outbox = new Outbox();
  #isFlushDue = false;

  constructor(options: EngineChildOptions) {
    this.#process = fork(
      options.entry,
      [JSON.stringify(options.settings), JSON.stringify(options.measured)],
      {
        serialization: "json",
        // V8's helper threads would compete with the model's threads for the cores.
        execArgv: ["--v8-pool-size=1", "--enable-source-maps"],
        env: engineEnvironment(process.env),
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      },
    );
    this.#process.on("message", (message) => {
      options.onMessage(message as FromEngine);
    });
    // Not `exit`: the last words of the native code come after that.
    this.#process.once("close", (code, signal) => {
      options.onExit({ code, signal });
    });
    // Spawn and send failures also end in `exit`, which is where they are handled.
    this.#process.on("error", (error) => {
      options.onOutput(error.message);
    });
    forEachLine(this.#process.stdout, options.onOutput);
    forEachLine(this.#process.stderr, options.onOutput);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  post(message: ToEngine): void {
    this.#outbox.add(message);
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#flush();
    });
  }

  /** Asks the process to end; kills it when it does not within `timeoutMs`. Resolves when it is gone. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#hasExited()) return;
    const exited = new Promise<void>((resolve) => this.#process.once("exit", () => resolve()));
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), timeoutMs);
    this.#sendNow({ shutdown: true });
    await exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #flush(): void {
    this.#isFlushDue = false;
    this.#sendNow(this.#outbox.take());
  }

  #sendNow(message: ToEngine): void {
    // A message to a dying engine is lost with it; whoever owns the work replays it.
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  #hasExited(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

function forEachLine(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  let rest = "";
  stream?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = (lines.pop() ?? "").slice(0, 4096);
    for (const line of lines) if (line !== "") onLine(line);
  });
}
