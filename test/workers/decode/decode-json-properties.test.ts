import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RowErrorCode } from "../../../src/shared/columns/row-account.js";
import { decodeJsonArray } from "../../../src/workers/decode/decode-json-array.js";
import { decodeJsonObject } from "../../../src/workers/decode/decode-json-object.js";
import { decodeNdjson } from "../../../src/workers/decode/decode-ndjson.js";
import { codesOf, decodeAll, isTaken, newTarget, propertyRuns, rowsOf, shared, type Row } from "./bulk-harness.js";
import { decodeText, expectedPayload, payloadOf } from "./json-samples.js";

/** A column name that is no system column and has no control characters. */
const key = fc
  .string({ unit: "binary", minLength: 1, maxLength: 8 })
  .map((text) => text.toWellFormed())
  .filter((text) => !/[\u0000-\u001f\u007f]/.test(text) && !/^(?:id|timestamp)$/i.test(text));

const scalar = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ maxLength: 40 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noDefaultInfinity: true, noNaN: true }),
  fc.boolean(),
  fc.constant(null),
);
const value = fc.oneof(
  { weight: 5, arbitrary: scalar },
  { weight: 1, arbitrary: fc.object({ maxDepth: 3, values: [scalar] }) },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 4 }) },
);

/** Keys of one row differ in more than case. */
const anyRow = fc.dictionary(key, value, { maxKeys: 8, noNullPrototype: true }).map((row) => {
  const seen = new Set<string>();
  return Object.fromEntries(Object.entries(row).filter(([name]) => seen.size < seen.add(name.toLowerCase()).size));
});

/** Halves of surrogate pairs inside of nested values stay as they were escaped, so both sides are read as JSON. */
function asJson(row: Row): unknown {
  return JSON.parse(JSON.stringify(row));
}

function toAscii(text: string): string {
  return text.replaceAll(/[^\u0000-\u007f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

test("any row, in each of the formats, is what JSON.parse makes of it", () => {
  fc.assert(
    fc.property(anyRow, fc.boolean(), (row, ascii) => {
      const plain = JSON.stringify(row).replaceAll(/\\ud[89a-f]../gi, "?");
      const text = ascii ? toAscii(plain) : plain;
      const expected = asJson(expectedPayload(JSON.parse(text) as object));
      for (const [decode, body] of [
        [decodeNdjson, `${text}\n`],
        [decodeJsonArray, `[${text}]`],
        [decodeJsonArray, JSON.stringify(JSON.parse(text), null, 1)],
        [decodeJsonObject, `{"payload":${text}}`],
      ] as const) {
        const { target, rows } = decodeText(decode, body);
        assert.deepEqual(codesOf(target), [], text);
        assert.deepEqual(asJson(payloadOf(rows[0])), expected, body);
      }
    }),
    propertyRuns(600),
  );
});

/** Columns of one type each, so that rows of any shape fit; the spaces a client may put between tokens. */
const typedRow = fc.record(
  {
    i: fc.maxSafeInteger(),
    d: fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => value + 0),
    s: fc.string(),
    b: fc.boolean(),
    j: fc.array(fc.nat(9)),
    "a key": fc.nat(),
    é: fc.string({ unit: "binary" }).map((text) => text.toWellFormed()),
  },
  { requiredKeys: [] },
);
const spaces = fc.constantFrom("", "", " ", "  ", "\t", " \t  \r ");

function render(row: Row, gap: string, order: number): string {
  const entries = Object.entries(row);
  const turned = [...entries.slice(order % (entries.length + 1)), ...entries.slice(0, order % (entries.length + 1))];
  const members = turned.map(
    ([name, value]) => `${gap}${JSON.stringify(name)}${gap}:${gap}${JSON.stringify(value)}${gap}`,
  );
  return `{${members.join(",")}${members.length === 0 ? gap : ""}}`;
}

test("rows of changing shape, order and layout: what was learned never shows", () => {
  const columns = {
    i: "long",
    d: "double",
    s: "string",
    b: "boolean",
    j: "json",
    "a key": "long",
    é: "string",
  } as const;
  const line = fc.record({ row: typedRow, gap: spaces, order: fc.nat(6), repeats: fc.integer({ min: 1, max: 4 }) });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.nat(300), (lines, sliceBytes) => {
      const texts = lines.flatMap(({ row, gap, order, repeats }) =>
        Array.from({ length: repeats }, () => render(row, gap, order)),
      );
      const expected = texts.map((text) => asJson(JSON.parse(text) as Row));
      for (const [decode, body] of [
        [decodeNdjson, texts.join("\n")],
        [decodeJsonArray, `[${texts.join(",")}]`],
      ] as const) {
        const target = newTarget({ columns });
        // Twice: the second time everything is known.
        for (const bytes of [Buffer.from(body), shared(Buffer.from(body))]) {
          target.builder.reset();
          decodeAll(decode, bytes, target, sliceBytes + 1);
          assert.deepEqual(codesOf(target), [], body);
          assert.deepEqual(
            rowsOf(target).map((row) => asJson(payloadOf(row))),
            expected,
            body,
          );
        }
      }
    }),
    propertyRuns(150),
  );
});

const pieces = [
  ...Array.from('{}[]:,"\\0123456789.-+eE \t\u0001é'),
  "null",
  "true",
  "fals",
  "\\u00e9",
  "\\ud83d",
  "1e5",
  "-0.5",
  "01",
  '"i":',
  '"s":"',
  ',"i":1',
  "}{",
  "\u0000",
];
const edit = fc.record({ at: fc.nat(10_000), cut: fc.nat(3), piece: fc.constantFrom("", ...pieces) });

function tamper(
  text: string,
  edits: readonly { readonly at: number; readonly cut: number; readonly piece: string }[],
): string {
  let changed = text;
  for (const { at, cut, piece } of edits) {
    const place = at % (changed.length + 1);
    changed = (changed.slice(0, place) + piece + changed.slice(place + cut)).toWellFormed();
  }
  return changed;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether a line was read as a row (taken, or rejected for a value), as JSON but no row, or not as JSON. */
function verdict(code: RowErrorCode | undefined): "row" | "value" | "broken" {
  if (code === "INVALID_JSON") return "broken";
  return code === "INVALID_ROW" ? "value" : "row";
}

function withPlainKeys(row: Row): Row {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value]));
}

test("a line that was tampered with is read exactly where JSON.parse reads it, between lines that are not touched", () => {
  const good = '{"i":1,"d":0.5,"s":"text","b":true,"j":[1],"a key":2}';
  fc.assert(
    fc.property(typedRow, spaces, fc.array(edit, { minLength: 1, maxLength: 3 }), (row, gap, edits) => {
      // Of the row that was learned, and of any other.
      for (const original of [good, render(row, gap, 0)]) {
        const text = tamper(original, edits);
        if (text.trim() === "") continue;
        const parsed = parse(text);
        const expected =
          parsed === undefined
            ? "broken"
            : typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
              ? "row"
              : "value";
        const { target, rows } = decodeText(decodeNdjson, `${good}\n${good}\n${text}\n${good}\n`);
        const { account } = target;
        assert.equal(account.rows, 4, text);
        const error = account.errors[0];
        assert.equal(verdict(error?.code), expected, `${text}: ${error?.message}`);
        assert.ok(account.rejected <= 1 && (error === undefined || error.row === 2), text);
        for (const index of [0, 1, rows.length - 1]) assert.equal(Number(rows[index]?.["a key"]), 2);
        if (error === undefined) {
          // A key that was changed in nothing but case is the same column.
          const { id: _id, timestamp: _timestamp, ...payload } = withPlainKeys(expectedPayload(parsed as object));
          const isPlain = Object.keys(payload).length === Object.keys(expectedPayload(parsed as object)).length;
          if (isPlain) assert.deepEqual(asJson(withPlainKeys(payloadOf(rows[2]))), asJson(payload), text);
        }
      }
    }),
    propertyRuns(600),
  );
});

test("a body that was tampered with is taken exactly where JSON.parse takes it", () => {
  fc.assert(
    fc.property(
      fc.array(typedRow, { maxLength: 4 }),
      spaces,
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      (rows, gap, edits) => {
        const array = tamper(`[${gap}${rows.map((row) => render(row, gap, 1)).join(`${gap},\n`)}]`, edits);
        const parsed = parse(array);
        const isBody = typeof parsed === "object" && parsed !== null;
        assert.equal(isTaken(decodeJsonArray, Buffer.from(array), newTarget(), ["INVALID_BODY"]), isBody, array);

        const object = tamper(
          `{"table":"t","id":"x",${gap}"timestamp":1,"payload":${render(rows[0] ?? {}, gap, 2)}}`,
          edits,
        );
        const target = newTarget();
        assert.equal(
          isTaken(decodeJsonObject, Buffer.from(object), target, ["INVALID_BODY"]),
          parse(object) !== undefined,
          object,
        );
      },
    ),
    propertyRuns(600),
  );
});

test("any bytes at all: no decoder does anything but decode, reject or refuse", () => {
  const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Buffer.from('{}[]:,"\\ \n\r01e.-tfnu')));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 60 }), fc.nat(20), (bytes, sliceBytes) => {
      for (const [decode, codes] of [
        [decodeNdjson, []],
        [decodeJsonArray, ["INVALID_BODY"]],
        [decodeJsonObject, ["INVALID_BODY"]],
      ] as const) {
        const target = newTarget({ columns: { i: "long" } });
        const body = Buffer.concat([Buffer.from('{"i":1}\n'), Uint8Array.from(bytes)]);
        for (const each of [Uint8Array.from(bytes), body]) isTaken(decode, each, target, codes);
        decodeAll(decodeNdjson, Buffer.from('{"i":7}'), target, sliceBytes + 1);
        assert.equal(rowsOf(target).at(-1)?.["i"], 7n);
      }
    }),
    propertyRuns(800),
  );
});
