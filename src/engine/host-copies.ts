/** Bytes outside the JavaScript heap, valid until they are freed. */
export interface HeldCopy {
  readonly bytes: Uint8Array;
  free(): void;
}

/** Where the bytes of host slots are. */
export interface HostCopies {
  /** Null for a slot that is not filled yet. */
  holdHostCopy(slot: number): HeldCopy | null;
  createHostCopy(sizeBytes: number): HeldCopy;
  fillHostSlot(slot: number, copy: HeldCopy): void;
}
