/**
 * Bytes that writers may put behind what they are asked for, as they copy whole words; what comes next overwrites them.
 * Byte by byte takes three times as long, and a call of `set` as long as fifty bytes do.
 */
export const slackBytes = 16;

const nullText = 0x6c_6c_75_6e;

/** `null`. Like all writers of JSON: returns where it ends. */
export function writeNull(out: DataView, at: number): number {
  out.setInt32(at, nullText, true);
  return at + 4;
}

export function writeAscii(text: string, out: DataView, at: number): number {
  for (let index = 0; index < text.length; index++) out.setUint8(at + index, text.charCodeAt(index));
  return at + text.length;
}

/** Bytes that are written again and again, with `slackBytes` behind them. */
export interface FixedBytes {
  readonly view: DataView;
  readonly length: number;
}

export function fixedBytes(text: string): FixedBytes {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(bytes.length + slackBytes);
  padded.set(bytes);
  return { view: new DataView(padded.buffer), length: bytes.length };
}

export function writeFixed({ view, length }: FixedBytes, out: DataView, at: number): number {
  for (let index = 0; index < length; index += 8) {
    out.setInt32(at + index, view.getInt32(index, true), true);
    out.setInt32(at + index + 4, view.getInt32(index + 4, true), true);
  }
  return at + length;
}
