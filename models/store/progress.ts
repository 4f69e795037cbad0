/** How far one file has come. */
export interface DownloadProgress {
  /** Name for a person. */
  readonly file: string;
  readonly receivedBytes: number;
  /** Null while the server does not say. */
  readonly totalBytes: number | null;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
  readonly isComplete: boolean;
}

/** Who wants to know about downloads. */
export interface DownloadProgressSink {
  /** Called often; a renderer decides what it shows. */
  update(progress: DownloadProgress): void;
  /** One line for a person, such as "the hub cannot be reached; trying the next source". */
  notice(line: string): void;
}

export const SILENT_PROGRESS: DownloadProgressSink = { update: () => undefined, notice: () => undefined };

const REPORT_INTERVAL_MS = 100;
/** Weight of the newest interval in the moving average of the rate. */
const RATE_SMOOTHING = 0.2;

export interface ProgressStart {
  readonly file: string;
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
}

/** Turns byte counts into rates and reports them at most ten times a second. */
export class ProgressMeter {
  readonly #sink: DownloadProgressSink;
  readonly #file: string;
  readonly #totalBytes: number | null;
  #receivedBytes: number;
  #reportedBytes: number;
  #reportedAtMs = performance.now();
  #bytesPerSecond = 0;

  constructor(sink: DownloadProgressSink, start: ProgressStart) {
    this.#sink = sink;
    this.#file = start.file;
    this.#totalBytes = start.totalBytes;
    this.#receivedBytes = start.receivedBytes;
    this.#reportedBytes = start.receivedBytes;
    this.#report(false);
  }

  add(numBytes: number): void {
    this.#receivedBytes += numBytes;
    const elapsedMs = performance.now() - this.#reportedAtMs;
    if (elapsedMs < REPORT_INTERVAL_MS) return;
    const rate = ((this.#receivedBytes - this.#reportedBytes) * 1000) / elapsedMs;
    const isFirst = this.#bytesPerSecond === 0;
    this.#bytesPerSecond = isFirst
      ? rate
      : this.#bytesPerSecond + RATE_SMOOTHING * (rate - this.#bytesPerSecond);
    this.#reportedBytes = this.#receivedBytes;
    this.#reportedAtMs += elapsedMs;
    this.#report(false);
  }

  complete(): void {
    this.#report(true);
  }

  #report(isComplete: boolean): void {
    const remaining = this.#totalBytes === null ? null : this.#totalBytes - this.#receivedBytes;
    const isMoving = this.#bytesPerSecond > 0;
    this.#sink.update({
      file: this.#file,
      receivedBytes: this.#receivedBytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond: this.#bytesPerSecond,
      etaSeconds: remaining !== null && isMoving ? remaining / this.#bytesPerSecond : null,
      isComplete,
    });
  }
}
