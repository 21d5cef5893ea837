import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TextDictionary, WordDictionary } from "../../../src/workers/persist/dictionaries.js";
import { rankTexts } from "../../../src/workers/persist/text-ranks.js";
import { collidingTexts } from "../../harness/colliding-texts.js";

const prime = 0x0100_0193;
const count = 20_000;

/** Texts of eight digits and letters that TextDictionary's hash takes for one: the second four bytes undo what the first did. */
function collidingWords(): string[] {
  const afterFirst = (word: number): number => {
    const hash = Math.imul(8 ^ 0x811c_9dc5 ^ word, prime);
    return hash ^ (hash >>> 15);
  };
  const bytes = Buffer.alloc(8);
  bytes.write("0000");
  const met = afterFirst(bytes.readInt32LE(0)) ^ Buffer.from("0000").readInt32LE();
  const texts: string[] = [];
  for (let first = 0; texts.length < count; first++) {
    bytes.write((Math.imul(first, 0x9e37_79b1) >>> 0).toString(36).padStart(7, "0").slice(-4));
    bytes.writeInt32LE(afterFirst(bytes.readInt32LE(0)) ^ met, 4);
    const text = bytes.toString("latin1");
    if (/^[!-~]{8}$/.test(text)) texts.push(text);
  }
  return [...new Set(texts)];
}

function columnOf(texts: readonly string[]): { readonly bytes: Buffer; readonly offsets: Int32Array } {
  const offsets = new Int32Array(texts.length + 1);
  for (const [index, text] of texts.entries()) offsets[index + 1] = (offsets[index] ?? 0) + text.length;
  return { bytes: Buffer.from(texts.join("")), offsets };
}

describe("values that were chosen to collide", () => {
  test("a dictionary of texts is given up", () => {
    const texts = collidingWords();
    const encodes = (values: readonly string[]): boolean => {
      const { bytes, offsets } = columnOf(values);
      return new TextDictionary().encode(bytes, offsets, null, new Int32Array(values.length));
    };
    assert.equal(encodes(texts), false);
    // As many that nobody chose, and a few that were.
    assert.equal(encodes(texts.map((_, index) => String(index).padStart(8, "0"))), true);
    assert.equal(encodes(texts.slice(0, 20)), true);
  });

  test("a dictionary of numbers is given up", () => {
    const words = new Int32Array(count * 2);
    for (let index = 0; index < count; index++) {
      words[index * 2] = Math.imul(index, 0x9e37_79b1);
      words[index * 2 + 1] = index;
    }
    assert.equal(new WordDictionary().encode(words, count, new Int32Array(count)), false);
  });

  test("ranks of texts take no longer than those of others", () => {
    const ranked = (texts: readonly string[]): number => {
      const { bytes, offsets } = columnOf(texts);
      const ranks = new Uint32Array(texts.length);
      const before = process.cpuUsage();
      rankTexts({ bytes, offsets }, ranks);
      const { user, system } = process.cpuUsage(before);
      assert.equal(new Set(ranks).size, texts.length);
      return (user + system) / 1000;
    };
    const chosen = collidingTexts(14);
    const { length } = chosen[0] ?? "";
    const othersMs = ranked(chosen.map((_, index) => String(index).padStart(length, "x")));
    const chosenMs = Math.min(ranked(chosen), ranked(chosen));
    assert.ok(chosenMs < 20 * Math.max(othersMs, 5), `${chosenMs} ms, others ${othersMs} ms`);
  });
});

/** Numbers as they come: what they have in common must not make a dictionary give up. */
describe("values that nobody chose have their dictionary", () => {
  const kinds: Readonly<Record<string, (index: number) => number>> = {
    "whole numbers": (index) => index,
    hundredths: (index) => index / 100,
    "halves around zero": (index) => index / 2 - 5000,
    "powers of two apart": (index) => index * 1024,
    "a million apart": (index) => index * 1e6,
    "close to one another": (index) => 1000 + index / 2 ** 20,
    "square roots": (index) => Math.sqrt(index),
  };
  for (const [name, valueOf] of Object.entries(kinds)) {
    test(`doubles: ${name}`, () => {
      const values = Float64Array.from({ length: 65_000 }, (_, index) => valueOf(index));
      const words = new Int32Array(values.buffer);
      assert.equal(new WordDictionary().encode(words, values.length, new Int32Array(values.length)), true);
    });
    test(`longs: ${name}`, () => {
      const values = BigInt64Array.from({ length: 65_000 }, (_, index) => BigInt(Math.round(valueOf(index) * 1000)));
      const words = new Int32Array(values.buffer);
      assert.equal(new WordDictionary().encode(words, values.length, new Int32Array(values.length)), true);
    });
  }
});
