import { formatBytes } from "../../models/store/format-bytes.ts";
import type { DownloadProgress, DownloadProgressSink } from "../../models/store/progress.ts";

/** What the renderer needs of a stream; `process.stderr` has it. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const ERASE_LINE = "\r\u001B[K";
const BAR_WIDTH = 24;
const LINES_PER_DOWNLOAD = 10;
/** Step between plain lines where the size is unknown. */
const UNKNOWN_SIZE_STEP_BYTES = 50_000_000;

/** Shows downloads as a bar that moves on a terminal, and as a few plain lines in a log. */
export function createProgressSink(stream: ProgressStream): DownloadProgressSink {
  return stream.isTTY ? barSink(stream) : lineSink(stream);
}

function barSink(stream: ProgressStream): DownloadProgressSink {
  return {
    update: (progress) => {
      const line = formatBar(progress).slice(0, (stream.columns ?? 80) - 1);
      stream.write(`${ERASE_LINE}${line}${progress.isComplete ? "\n" : ""}`);
    },
    notice: (line) => stream.write(`${ERASE_LINE}${line}\n`),
  };
}

function lineSink(stream: ProgressStream): DownloadProgressSink {
  let lastStep = "";
  return {
    update: (progress) => {
      const step = `${progress.file} ${stepOf(progress)}`;
      if (step === lastStep && !progress.isComplete) return;
      lastStep = step;
      stream.write(`${formatLine(progress)}\n`);
    },
    notice: (line) => stream.write(`${line}\n`),
  };
}

function stepOf({ receivedBytes, totalBytes }: DownloadProgress): number {
  const stepBytes = totalBytes === null ? UNKNOWN_SIZE_STEP_BYTES : totalBytes / LINES_PER_DOWNLOAD;
  return Math.floor(receivedBytes / Math.max(stepBytes, 1));
}

export function formatBar(progress: DownloadProgress): string {
  const share = shareOf(progress);
  if (share === null) return formatLine(progress);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "#".repeat(filled).padEnd(BAR_WIDTH, "-");
  return `${progress.file} [${bar}] ${formatNumbers(progress)}`;
}

function formatLine(progress: DownloadProgress): string {
  return `${progress.file}: ${formatNumbers(progress)}`;
}

function formatNumbers(progress: DownloadProgress): string {
  const { receivedBytes, totalBytes, bytesPerSecond, etaSeconds, isComplete } = progress;
  const share = shareOf(progress);
  const parts = [
    share === null ? "" : `${Math.floor(share * 100)} %`,
    totalBytes === null
      ? formatBytes(receivedBytes)
      : `${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`,
    bytesPerSecond > 0 ? `${formatBytes(Math.round(bytesPerSecond))}/s` : "",
    etaSeconds === null || isComplete ? "" : `${formatSeconds(etaSeconds)} left`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

function shareOf({ receivedBytes, totalBytes }: DownloadProgress): number | null {
  return totalBytes === null || totalBytes === 0 ? null : Math.min(receivedBytes / totalBytes, 1);
}

function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
