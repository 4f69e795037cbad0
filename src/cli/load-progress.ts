import { ProgressMeter, type DownloadProgressSink } from "../../models/store/progress.ts";

/**
 * Shows the first load of a model the way a download is shown. Takes the share that is loaded; what comes after the
 * whole is of an engine that was restarted, and nobody waits for that at a terminal.
 */
export function showLoadProgress(
  sink: DownloadProgressSink,
  model: string,
  totalBytes: number,
): (share: number) => void {
  let meter: ProgressMeter | null = null;
  let receivedBytes = 0;
  let isComplete = false;
  return (share) => {
    if (isComplete) return;
    meter ??= new ProgressMeter(sink, { file: `loading ${model}`, receivedBytes, totalBytes });
    meter.add(Math.round(share * totalBytes) - receivedBytes);
    receivedBytes = Math.round(share * totalBytes);
    isComplete = share >= 1;
    if (isComplete) meter.complete();
  };
}
