/** What is known of a file beforehand, whichever source it comes from; null where nothing is. */
export interface Pin {
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
}

export const NO_PIN: Pin = { sha256: null, sizeBytes: null };
