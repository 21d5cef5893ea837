import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr } from "msgpackr";
import type { RowError } from "../../../src/shared/columns/row-account.js";
import { frameFormats, type FrameFormat } from "../../../src/shared/ring/frame.js";
import { deadLetters } from "../../../src/workers/buffer/dead-letters.js";
import { openDecode } from "../../../src/workers/decode/formats.js";
import { newTarget } from "../decode/bulk-harness.js";

interface Letter {
  readonly table_name: string;
  readonly batch_id: string | null;
  readonly row_number: number;
  readonly column_name: string | null;
  readonly code: string;
  readonly format: string;
  readonly raw: string | null;
}

/** The dead letters of what the format's own decoder rejects; a row is taken where `n` is an integer. */
function lettersOf(format: FrameFormat, body: string | Uint8Array, originalShape = false): Letter[] {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const target = newTarget({ columns: { n: "long" } });
  const decoding = openDecode(format, originalShape, bytes, target);
  while (!decoding.step(bytes.length + 1));
  const lines = deadLetters({ table: "t", batchId: "b1", format, originalShape, bytes }, target.account.errors);
  return lines.split("\n").map((line) => JSON.parse(line) as Letter);
}

const rawsOf = (letters: readonly Letter[]): unknown[] => letters.map(({ row_number: row, raw }) => [row, raw]);

test("NDJSON: blank lines are no rows, broken lines are", () => {
  const body = '\ufeff{"n":1}\r\n\n  \t\r\n{"n":"x", "s":"é"}  \r\nno json\n\u000b\n{"n":2}\n[1]\n{"n":true}';
  const letters = lettersOf(frameFormats.ndjson, body);
  assert.deepEqual(rawsOf(letters), [
    [1, '{"n":"x", "s":"é"}'],
    [2, "no json"],
    [3, ""],
    [5, "[1]"],
    [6, '{"n":true}'],
  ]);
  const { raw: _, ...first } = letters[0] as Letter & { message: string };
  assert.deepEqual(first, {
    table_name: "t",
    batch_id: "b1",
    row_number: 1,
    column_name: "n",
    code: "TYPE_MISMATCH",
    message: "the column takes an integer; the value is a string",
    format: "ndjson",
  });
});

test("JSON: elements of an array by their place, whatever is in them, or the one object", () => {
  const body = ' [ {"n":1} , {"n":"a]},\\"{[\\\\"} ,5,{"n":{"x":[1,{"y":"]"}]}}, {"n":2},"a,b" ] ';
  assert.deepEqual(rawsOf(lettersOf(frameFormats.json, body)), [
    [1, '{"n":"a]},\\"{[\\\\"}'],
    [2, "5"],
    [3, '{"n":{"x":[1,{"y":"]"}]}}'],
    [5, '"a,b"'],
  ]);
  assert.deepEqual(rawsOf(lettersOf(frameFormats.json, ' {"n":"x"}\n')), [[0, '{"n":"x"}']]);
  const original = '{"table":"t","id":"a","payload":{"n":"x"}}';
  assert.deepEqual(rawsOf(lettersOf(frameFormats.json, original, true)), [[0, original]]);
});

test("CSV: records with their header, over line breaks in quotes, and behind what no record is", () => {
  const body = 'n,"s,1"\r\n1,a\r\n\r\nx,"b\nb"\n2,"c"d\n3,e,f\n4,g\ny,h';
  assert.deepEqual(rawsOf(lettersOf(frameFormats.csv, body)), [
    [1, 'n,"s,1"\r\nx,"b\nb"'],
    [2, 'n,"s,1"\r\n2,"c"d'],
    [3, 'n,"s,1"\r\n3,e,f'],
    [5, 'n,"s,1"\r\ny,h'],
  ]);
});

test("MessagePack: maps as base64, in an array or one after the other; columns have no rows", () => {
  const packr = new Packr({ useRecords: false });
  const rows = [{ n: 1 }, { n: "x" }, 5, { n: 2 }, { n: [1] }];
  const base64 = (row: unknown): string => packr.pack(row).toString("base64");
  const expected = [1, 2, 4].map((row) => [row, base64(rows[row])]);
  assert.deepEqual(rawsOf(lettersOf(frameFormats.messagePack, packr.pack(rows))), expected);
  const inRow = Buffer.concat([rows[0], rows[1], rows[3]].map((row) => Buffer.from(packr.pack(row))));
  assert.deepEqual(rawsOf(lettersOf(frameFormats.messagePack, inRow)), [[1, base64(rows[1])]]);
  const columns = packr.pack({ columns: { n: [1, "x"] } });
  assert.deepEqual(rawsOf(lettersOf(frameFormats.messagePack, columns)), [[1, null]]);
});

test("what is kept is bounded: the bytes of a row, and of all", () => {
  const long = `{"n":"${"x".repeat(10_000)}"}`;
  const errors = Array.from({ length: 1_000 }, (_, row): RowError => {
    return { row, column: "n", code: "TYPE_MISMATCH", message: "no" };
  });
  const bytes = Buffer.from(`${long}\n`.repeat(1_000));
  const body = { table: "t", batchId: "", format: frameFormats.ndjson, originalShape: false, bytes };
  const text = deadLetters(body, errors);
  const lines = text.split("\n").map((line) => JSON.parse(line) as Letter);
  assert.ok(lines.length > 200 && lines.length < 300, `${lines.length} lines`);
  assert.ok(Buffer.byteLength(text) <= 1024 * 1024);
  assert.ok(lines.every(({ raw, batch_id: id }) => raw === long.slice(0, 4096) && id === null));
});
