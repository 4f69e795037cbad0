import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ProgressMeter } from "../../models/store/progress.ts";
import type { DownloadProgress } from "../../models/store/progress.ts";
import { createProgressSink, formatBar } from "../../src/cli/models-progress.ts";
import { RecordingProgress } from "../support/recording-progress.ts";

function progressOf(changes: Partial<DownloadProgress>): DownloadProgress {
  return {
    file: "m.gguf",
    receivedBytes: 25_000_000,
    totalBytes: 100_000_000,
    bytesPerSecond: 5_000_000,
    etaSeconds: 15,
    isComplete: false,
    ...changes,
  };
}

class TextStream {
  text = "";
  readonly isTTY: boolean;
  readonly columns = 60;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

describe("download progress", () => {
  test("is a bar with rate and time left", () => {
    assert.equal(
      formatBar(progressOf({}), 80),
      "m.gguf [####------------] 25 %, 25 MB of 100 MB, 5 MB/s, 15 s left",
    );
    assert.match(formatBar(progressOf({ etaSeconds: 3725 }), 80), /1 h 2 min left$/);
    assert.match(formatBar(progressOf({ etaSeconds: 61 }), 80), /1 min 1 s left$/);
    assert.equal(formatBar(progressOf({ totalBytes: null, etaSeconds: null }), 80), "m.gguf 25 MB, 5 MB/s");
  });

  test("shortens the name first", () => {
    const bar = formatBar(progressOf({ file: "a-very-long-model-name-indeed.gguf" }), 72);
    assert.equal(bar.length, 72);
    assert.match(bar, /^a-very-lo.*… \[.*15 s left$/);
  });

  test("stays on one line of a terminal", () => {
    const stream = new TextStream(true);
    const sink = createProgressSink(stream);
    sink.update(progressOf({}));
    sink.notice("trying the next source");
    sink.update(progressOf({ receivedBytes: 100_000_000, isComplete: true }));
    const lines = stream.text.split("\n");
    assert.equal(lines.length, 3, "one for the notice, one for the finished bar, and the end");
    for (const shown of stream.text.split("\u001b[K")) assert.ok(shown.length < 62, shown);
  });

  test("is about ten lines in a log", () => {
    const stream = new TextStream(false);
    const sink = createProgressSink(stream);
    for (let percent = 0; percent <= 100; percent += 1)
      sink.update(progressOf({ receivedBytes: percent * 1_000_000 }));
    sink.update(progressOf({ receivedBytes: 100_000_000, isComplete: true }));
    assert.equal(stream.text.trim().split("\n").length, 12);
    assert.doesNotMatch(stream.text, /(?!\n)\p{Cc}/u);
  });

  test("does not say the same twice in a log", () => {
    const stream = new TextStream(false);
    const sink = createProgressSink(stream);
    const unknown = progressOf({ totalBytes: null, etaSeconds: null });
    sink.update(unknown);
    sink.update({ ...unknown, isComplete: true });
    assert.equal(stream.text, "m.gguf: 25 MB, 5 MB/s\n");
  });

  test("begins and ends with a report", () => {
    const recorded = new RecordingProgress();
    const meter = new ProgressMeter(recorded, { file: "m", receivedBytes: 10, totalBytes: 30 });
    meter.add(20);
    meter.complete();
    const [first] = recorded.updates;
    const last = recorded.updates.at(-1);
    assert.deepEqual([first?.receivedBytes, first?.isComplete], [10, false]);
    assert.deepEqual([last?.receivedBytes, last?.isComplete], [30, true]);
  });
});
