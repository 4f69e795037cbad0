const LF = 10;
const CR = 13;
const SPACE = 32;
const DATA_PREFIX = Buffer.from("data:");
const DATA_LINE = Buffer.from("\ndata:");
const EMPTY = Buffer.alloc(0);

/**
 * Cuts an SSE byte stream into the payloads of its `data:` lines, as slices of the received buffers:
 * nothing is decoded or copied unless an event spans two reads. Comments and other fields are skipped;
 * an event of several data lines yields the first (no OpenAI-compatible server sends such events).
 */
export class SseSplitter {
  #rest: Buffer = EMPTY;

  /** Calls `onData` for each complete event in `chunk`, in order. */
  feed(chunk: Buffer, onData: (payload: Buffer) => void): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let eventStart = 0;
    let lineEnd = bytes.indexOf(LF);
    while (lineEnd !== -1) {
      const nextEvent = blankLineEnd(bytes, lineEnd + 1);
      if (nextEvent !== -1) {
        emitPayload(bytes, eventStart, lineEnd, onData);
        eventStart = nextEvent;
      }
      lineEnd = bytes.indexOf(LF, nextEvent === -1 ? lineEnd + 1 : nextEvent);
    }
    this.#rest = eventStart === bytes.length ? EMPTY : bytes.subarray(eventStart);
  }
}

/** The position after an empty line at `position`, or -1 when the line there is not empty. */
function blankLineEnd(bytes: Buffer, position: number): number {
  if (bytes[position] === LF) return position + 1;
  if (bytes[position] === CR && bytes[position + 1] === LF) return position + 2;
  return -1;
}

// oxlint-disable-next-line max-params -- four numbers and a callback in the hottest path of the client
function emitPayload(bytes: Buffer, start: number, end: number, onData: (payload: Buffer) => void): void {
  let dataStart = start;
  if (bytes.compare(DATA_PREFIX, 0, 5, start, Math.min(start + 5, end)) !== 0) {
    const found = bytes.indexOf(DATA_LINE, start);
    if (found === -1 || found >= end) return;
    dataStart = found + 1;
  }
  dataStart += DATA_PREFIX.length;
  if (bytes[dataStart] === SPACE) dataStart++;
  let dataEnd = end;
  const nextLine = bytes.indexOf(LF, dataStart);
  if (nextLine !== -1 && nextLine < end) dataEnd = nextLine;
  if (bytes[dataEnd - 1] === CR) dataEnd--;
  onData(bytes.subarray(dataStart, dataEnd));
}
