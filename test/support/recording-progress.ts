import type { DownloadProgress, DownloadProgressSink } from "../../models/store/progress.ts";

/** Keeps what it was told. */
export class RecordingProgress implements DownloadProgressSink {
  readonly updates: DownloadProgress[] = [];
  readonly notices: string[] = [];

  update(progress: DownloadProgress): void {
    this.updates.push(progress);
  }

  notice(line: string): void {
    this.notices.push(line);
  }
}
