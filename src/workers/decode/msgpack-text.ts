import type { MsgpackReader } from "./msgpack-reader.js";

/** Longer texts are copied natively; the call costs as much as a loop over this many bytes. */
export const shortTextBytesMax = 64;
export const textWordBytes = 4;
/** A word's bytes that belong to the text, by their number. */
const wordMasks = [0, 0xff, 0xffff, 0xff_ffff] as const;

/**
 * Copies the reader's text to `target` from `at` on; true when it is ASCII. Word by word: up to four bytes past the
 * text's end are read and written, so the caller makes sure that both sides have them.
 */
export function copyShortText({ view, textStart, textEnd }: MsgpackReader, target: DataView, at: number): boolean {
  const shift = at - textStart;
  const lastWord = textEnd - textWordBytes;
  let marks = 0;
  let from = textStart;
  for (; from <= lastWord; from += textWordBytes) {
    const word = view.getInt32(from, true);
    target.setInt32(from + shift, word, true);
    marks |= word;
  }
  const word = view.getInt32(from, true);
  target.setInt32(from + shift, word, true);
  marks |= word & (wordMasks[textEnd - from] as number);
  return (marks & 0x80808080) === 0;
}
