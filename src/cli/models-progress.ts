import { formatBytes } from "../../models/store/format-bytes.ts";
import type { DownloadProgress, DownloadProgressSink } from "../../models/store/progress.ts";

/** What the renderer needs of a stream; `process.stderr` has it. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const ERASE_LINE = "\r\u001B[K";
const DEFAULT_COLUMNS = 80;
const BAR_WIDTH = 16;
const MIN_NAME_WIDTH = 8;
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
      const line = formatBar(progress, (stream.columns || DEFAULT_COLUMNS) - 1);
      stream.write(`${ERASE_LINE}${line}${progress.isComplete ? "\n" : ""}`);
    },
    notice: (line) => stream.write(`${ERASE_LINE}${line}\n`),
  };
}

function lineSink(stream: ProgressStream): DownloadProgressSink {
  let lastStep = "";
  let lastLine = "";
  return {
    update: (progress) => {
      const step = `${progress.file} ${stepOf(progress)}`;
      const line = formatLine(progress);
      if (line === lastLine || (step === lastStep && !progress.isComplete)) return;
      lastStep = step;
      lastLine = line;
      stream.write(`${line}\n`);
    },
    notice: (line) => stream.write(`${line}\n`),
  };
}

function stepOf({ receivedBytes, totalBytes }: DownloadProgress): number {
  const stepBytes = totalBytes === null ? UNKNOWN_SIZE_STEP_BYTES : totalBytes / LINES_PER_DOWNLOAD;
  return Math.floor(receivedBytes / Math.max(stepBytes, 1));
}

/** One line of at most `width` characters; a long file name gives way to the numbers. */
export function formatBar(progress: DownloadProgress, width: number): string {
  const share = shareOf(progress);
  const filled = Math.round((share ?? 0) * BAR_WIDTH);
  const bar = share === null ? "" : ` [${"#".repeat(filled).padEnd(BAR_WIDTH, "-")}]`;
  const rest = `${bar} ${formatNumbers(progress)}`;
  return `${shorten(progress.file, Math.max(width - rest.length, MIN_NAME_WIDTH))}${rest}`.slice(0, width);
}

function shorten(name: string, width: number): string {
  return name.length <= width ? name : `${name.slice(0, width - 1)}…`;
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
