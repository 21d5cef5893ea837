/** UUIDs as 16 bytes in records and as text (lower case, dashes) everywhere else. Conversions are remembered. */
import { assert } from "../assert.js";

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Tables met by one thread; beyond it the memory starts anew. */
const rememberedMax = 16_384;

interface UuidWords {
  readonly text: string;
  /** The 16 bytes as four little-endian words. */
  readonly words: readonly [number, number, number, number];
}

const byText = new Map<string, UuidWords>();
/** By first word; another uuid with the same first word just takes the place. */
const byFirstWord = new Map<number, UuidWords>();

/** The uuid that the 16 bytes at `at` hold. */
export function uuidTextAt(view: DataView, at: number): string {
  const first = view.getUint32(at, true);
  const second = view.getUint32(at + 4, true);
  const third = view.getUint32(at + 8, true);
  const fourth = view.getUint32(at + 12, true);
  const known = byFirstWord.get(first);
  if (known !== undefined) {
    const { words } = known;
    if (words[1] === second && words[2] === third && words[3] === fourth) return known.text;
  }
  const hex = Buffer.from(view.buffer, view.byteOffset + at, 16).toString("hex");
  const text = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  if (byFirstWord.size >= rememberedMax) byFirstWord.clear();
  byFirstWord.set(first, { text, words: [first, second, third, fourth] });
  return text;
}

/** Writes the uuid as 16 bytes. */
export function writeUuid(view: DataView, at: number, uuid: string): void {
  const { words } = byText.get(uuid) ?? rememberText(uuid);
  view.setUint32(at, words[0], true);
  view.setUint32(at + 4, words[1], true);
  view.setUint32(at + 8, words[2], true);
  view.setUint32(at + 12, words[3], true);
}

function rememberText(uuid: string): UuidWords {
  assert(uuidPattern.test(uuid), "a table uuid is lower case with dashes");
  const bytes = Buffer.from(uuid.replaceAll("-", ""), "hex");
  const words = [0, 4, 8, 12].map((at) => bytes.readUInt32LE(at));
  const entry: UuidWords = {
    text: uuid,
    words: [words[0] as number, words[1] as number, words[2] as number, words[3] as number],
  };
  if (byText.size >= rememberedMax) byText.clear();
  byText.set(uuid, entry);
  return entry;
}
