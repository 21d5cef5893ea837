import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeCsv } from "../../../src/workers/decode/decode-csv.js";
import {
  codesOf,
  decodeAll,
  isTaken,
  newTarget,
  payloadsOf,
  propertyRuns,
  receivedMicros,
  refusal,
  rowsOf,
  shared,
  typesOf,
  valuesOf,
} from "./bulk-harness.js";
import { decodeText } from "./json-samples.js";

test("the header names the columns, the first value gives a new one its type", () => {
  const { target, rows } = decodeText(decodeCsv, 'i,d,b,s,z,e,q\n1,1.5,true,text,007,,""\n-2,1e3,FALSE,"1",8,2,x\n');
  assert.deepEqual(typesOf(target), {
    i: "long",
    d: "double",
    b: "boolean",
    s: "string",
    z: "string",
    q: "string",
    e: "long",
  });
  assert.deepEqual(payloadsOf(target), [
    { i: 1n, d: 1.5, b: true, s: "text", z: "007", q: "" },
    { i: -2n, d: 1000, b: false, s: "1", z: "8", e: 2n, q: "x" },
  ]);
  assert.equal(rows[0]?.["timestamp"], BigInt(receivedMicros));
});

test("timestamp and id are the system columns, in any case and place", () => {
  const { rows } = decodeText(
    decodeCsv,
    'x,ID,TimeStamp\n1,one,2026-11-22T12:00:00Z\n2,"two",1795348800\n3,,\n4,"",1795348800.5\n',
  );
  const noon = 1_795_348_800_000_000n;
  assert.deepEqual(rows, [
    { timestamp: noon, id: "one", x: 1n },
    { timestamp: noon, id: "two", x: 2n },
    { timestamp: BigInt(receivedMicros), x: 3n },
    { timestamp: noon + 500_000n, x: 4n },
  ]);
});

test("quotes: commas, line breaks and quotes inside, CRLF and LF outside", () => {
  const body =
    '"a,1","b","c""3"\r\n"x,y","line\r\nbreak","say ""hi"""\r\n"","a""b",plain "quote" inside\n" spaces ",\t,end';
  const { target } = decodeText(decodeCsv, body);
  assert.deepEqual(codesOf(target), []);
  assert.deepEqual(payloadsOf(target), [
    { "a,1": "x,y", b: "line\r\nbreak", 'c"3': 'say "hi"' },
    { "a,1": "", b: 'a"b', 'c"3': 'plain "quote" inside' },
    { "a,1": " spaces ", b: "\t", 'c"3': "end" },
  ]);
});

test("blank lines are passed over, the last line break may be missing", () => {
  for (const body of ["x\n1\n2", "x\n1\n\n2\n", "\ufeffx\r\n1\r\n\r\n\n2\r\n", "x\n1\r\n2\r", "x\n\n\n1\n2\n\n\n"]) {
    assert.deepEqual(valuesOf(decodeText(decodeCsv, body).target), [1n, 2n], JSON.stringify(body));
  }
  const empty = ["x", "x\n", "x\r\n", "x\n\n\n", "x,y"];
  for (const body of empty) assert.equal(decodeText(decodeCsv, body).target.account.rows, 0);
});

test("an empty field is null; a quoted one is an empty string, and null to every other type", () => {
  const columns = { l: "long", d: "double", b: "boolean", t: "timestamp", j: "json", s: "string" } as const;
  const { target } = decodeText(
    decodeCsv,
    'l,d,b,t,j,s\n,,,,,\n"","","","","",""\n 1 , 2.5\t, true , 1795348800 , [1] , x \n',
    { columns },
  );
  assert.deepEqual(codesOf(target), []);
  assert.deepEqual(payloadsOf(target), [
    {},
    { s: "" },
    { l: 1n, d: 2.5, b: true, t: 1_795_348_800_000_000n, j: [1], s: " x " },
  ]);
});

test("values that do not fit reject their row with the column", () => {
  const columns = { l: "long", d: "double", b: "boolean", t: "timestamp", j: "json" } as const;
  const cases: readonly (readonly [string, string, string])[] = [
    ["l", "abc", "TYPE_MISMATCH"], ["l", "01", "TYPE_MISMATCH"], ["l", "1 2", "TYPE_MISMATCH"], ["l", "+1", "TYPE_MISMATCH"], ["l", "-", "TYPE_MISMATCH"],
    ["l", "9223372036854775808", "NUMBER_OUT_OF_RANGE"], ["d", "x", "TYPE_MISMATCH"], ["d", "NaN", "NUMBER_OUT_OF_RANGE"], ["d", "-inf", "NUMBER_OUT_OF_RANGE"],
    ["d", "Infinity", "NUMBER_OUT_OF_RANGE"], ["d", "1e999", "NUMBER_OUT_OF_RANGE"], ["d", "1.", "TYPE_MISMATCH"], ["b", "1", "TYPE_MISMATCH"], ["b", "yes", "TYPE_MISMATCH"],
    ["t", "soon", "INVALID_TIMESTAMP"], ["t", "2026-11-22", "INVALID_TIMESTAMP"], ["t", "99999999999999999999", "TIMESTAMP_OUT_OF_RANGE"],
    ["t", "0000-01-01T00:00:00Z", "TIMESTAMP_OUT_OF_RANGE"], ["j", "1", "TYPE_MISMATCH"], ["j", "{a", "INVALID_JSON"], ["j", '"{""a"":}"', "INVALID_JSON"], ["j", "[1]x", "INVALID_JSON"],
    ["id", "not fine", "INVALID_ID"],
  ]; // prettier-ignore
  for (const [column, value, code] of cases) {
    const { target } = decodeText(decodeCsv, `${column},k\n${value},1\n,2\n`, { columns: { ...columns, k: "long" } });
    assert.deepEqual(codesOf(target), [[0, column, code]], `${column} ${value}`);
    assert.deepEqual(valuesOf(target, "k"), [2n]);
  }
});

test("JSON columns take objects and arrays, quoted or not", () => {
  const { target } = decodeText(decodeCsv, 'j,k\n"{""a"": [1, ""x""]}",1\n[],2\n"[1,2]",3\n{},4\n', {
    columns: { j: "json", k: "long" },
  });
  assert.deepEqual(codesOf(target), []);
  assert.deepEqual(valuesOf(target, "j"), [{ a: [1, "x"] }, [], [1, 2], {}]);
});

test("a long column that meets a fraction becomes double, unless the row is rejected", () => {
  const { target } = decodeText(decodeCsv, "x,b\n1,true\n2.0,true\n3.5,no\n4,true\n4.5,true\n");
  assert.deepEqual(codesOf(target), [[2, "b", "TYPE_MISMATCH"]]);
  assert.deepEqual(typesOf(target), { x: "double", b: "boolean" });
  assert.deepEqual(valuesOf(target), [1, 2, 4, 4.5]);
  const kept = decodeText(decodeCsv, "x\n1\n2.5\n3\n", { rules: { longMeetsDouble: "reject" } });
  assert.deepEqual(codesOf(kept.target), [[1, "x", "TYPE_MISMATCH"]]);
  assert.deepEqual(typesOf(kept.target), { x: "long" });
});

test("another number of fields than the header rejects the row alone", () => {
  const { target } = decodeText(decodeCsv, 'x,y\n1,2\n3\n4,5,6\n7,8,\n"9",10\n11,"12\n13",14\n15,\n');
  assert.deepEqual(codesOf(target), [
    [1, null, "INVALID_ROW"],
    [2, null, "INVALID_ROW"],
    [3, null, "INVALID_ROW"],
    [5, null, "INVALID_ROW"],
  ]);
  assert.deepEqual(valuesOf(target), [1n, 9n, 15n]);
  assert.equal(target.account.errors[0]?.message, "the row has 1 fields, the header has 2");
});

test("text behind a closing quote rejects the row alone, up to the line break", () => {
  const { target } = decodeText(decodeCsv, 'x,y\n"1"2,3\n4,"5" \n6,7\n');
  assert.deepEqual(codesOf(target), [
    [0, null, "INVALID_ROW"],
    [1, null, "INVALID_ROW"],
  ]);
  assert.deepEqual(valuesOf(target), [6n]);
});

test("columns that a rejected row added are gone again", () => {
  const { target } = decodeText(decodeCsv, "a,b,id\n1,x,not fine\n,2,\n1.5,3,fine\n");
  assert.deepEqual(codesOf(target), [[0, "id", "INVALID_ID"]]);
  assert.deepEqual(typesOf(target), { b: "long", a: "double" });
});

test("a table that takes no new columns rejects rows that have a value there", () => {
  const { target } = decodeText(decodeCsv, "x,y\n1,\n2,3\n4,\n", {
    columns: { x: "long" },
    rules: { addColumns: false },
  });
  assert.deepEqual(codesOf(target), [[1, "y", "UNKNOWN_COLUMN"]]);
  assert.deepEqual(valuesOf(target), [1n, 4n]);
  const ignoring = decodeText(decodeCsv, "x,y\n1,\n2,3\n", { columns: { x: "long" }, rules: { ignoreUnknown: true } });
  assert.deepEqual(codesOf(ignoring.target), []);
  assert.deepEqual(valuesOf(ignoring.target), [1n, 2n]);
});

test("broken UTF-8 and values past the limit reject their row", () => {
  const body = Buffer.concat([
    Buffer.from("s,k\n"),
    Buffer.of(0xc3, 0x28),
    Buffer.from(",1\né,2\n0123456789,3\n01234567890,4\n"),
  ]);
  const { target } = decodeText(decodeCsv, body, { valueBytesMax: 10 });
  assert.deepEqual(codesOf(target), [
    [0, "s", "INVALID_UTF8"],
    [3, "s", "VALUE_TOO_LARGE"],
  ]);
  assert.deepEqual(valuesOf(target, "s"), ["é", "0123456789"]);
});

test("a header that is none, and a quote that is never closed, refuse the body", () => {
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ["", 0, /no name/], ["\n1\n", 0, /no name/], ["a,,b\n", 2, /no name/], ["a, \n", 2, /no name/], ["a,b,A\n", 4, /comes twice/], ["id,ID\n", 3, /comes twice/],
    ['"a', 0, /closing quote/], ['"a"b,c\n', 0, /behind a closing quote/], ['x\n1\n"2\n3\n', 4, /never closed/], ['x,y\n1,"', 6, /never closed/], ['x\n"""\n', 2, /never closed/],
  ]; // prettier-ignore
  for (const [body, position, message] of cases) {
    const target = newTarget({ earlierRows: 1 });
    const error = refusal(decodeCsv, Buffer.from(body), target);
    assert.deepEqual([error.code, error.details], ["INVALID_BODY", { position }], body);
    assert.match(error.message, message);
    assert.equal(target.builder.rowCount, 1);
  }
  const wide = Array.from({ length: 2_003 }, (_, index) => `c${index}`).join(",");
  assert.match(refusal(decodeCsv, Buffer.from(wide)).message, /more than 2002 columns/);
  const broken = Buffer.concat([Buffer.from("a,"), Buffer.of(0xff), Buffer.from("\n1,2\n")]);
  assert.match(refusal(decodeCsv, broken).message, /not valid UTF-8/);
});

/** A plain reading of RFC 4180: fields and whether they were quoted. */
function reference(text: string): { readonly value: string; readonly quoted: boolean }[][] {
  const records: { value: string; quoted: boolean }[][] = [];
  let at = 0;
  while (at < text.length) {
    const record: { value: string; quoted: boolean }[] = [];
    for (;;) {
      const rest = text.slice(at);
      const match = /^"((?:[^"]|"")*)"(?=,|\r?\n|$)/.exec(rest) ?? /^([^,\n]*?)(?=,|\r?\n|$)/.exec(rest);
      assert.ok(match !== null);
      const quoted = match[0].startsWith('"');
      record.push({ value: quoted ? (match[1] as string).replaceAll('""', '"') : (match[1] as string), quoted });
      at += match[0].length;
      if (text[at] !== ",") break;
      at++;
    }
    if (text[at] === "\r") at++;
    at++;
    records.push(record);
  }
  return records;
}

const cell = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.constantFrom("", " ", "a,b", 'q"q', '"', "line\nbreak", "\r\n", "\r", "x".repeat(40), "é", "1", "1.5", "true"),
  )
  .map((text) => text.toWellFormed());

test("any fields, quoted where they must be or anyway, are what a plain reader finds", () => {
  const row = fc.array(fc.tuple(cell, fc.boolean()), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 8 }),
      fc.constantFrom("\n", "\r\n"),
      fc.boolean(),
      fc.nat(40),
      (rows, lineBreak, isOpen, sliceBytes) => {
        const lines = rows.map((cells) =>
          cells
            .map(([text, quoted]) => (quoted || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text))
            .join(","),
        );
        const body = ["a,b,c", ...lines].join(lineBreak) + (isOpen && rows.length > 0 ? "" : lineBreak);
        const columns = { a: "string", b: "string", c: "string" } as const;
        const target = newTarget({ columns });
        decodeAll(decodeCsv, shared(Buffer.from(body)), target, sliceBytes + 1);
        assert.deepEqual(codesOf(target), []);
        const expected = reference(body)
          .slice(1)
          .map((fields) =>
            Object.fromEntries(
              fields
                .map(({ value, quoted }, index) => ["abc"[index], value === "" && !quoted ? null : value])
                .filter(([, value]) => value !== null),
            ),
          );
        assert.deepEqual(payloadsOf(target), expected, JSON.stringify(body));
      },
    ),
    propertyRuns(600),
  );
});

test("any bytes at all: taken, rejected by the row, or refused", () => {
  const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Buffer.from('",\n\r\n,"1a')));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 40 }), fc.nat(10), (bytes, sliceBytes) => {
      for (const header of ["", "x,y\n"]) {
        const target = newTarget({ columns: { x: "long" } });
        isTaken(decodeCsv, Buffer.concat([Buffer.from(header), Uint8Array.from(bytes)]), target, ["INVALID_BODY"]);
        decodeAll(decodeCsv, Buffer.from("x\n7\n"), target, sliceBytes + 1);
        assert.equal(rowsOf(target).at(-1)?.["x"], 7n);
      }
    }),
    propertyRuns(1_000),
  );
});

test("records that cross windows, and records larger than one", () => {
  const lines = Array.from({ length: 8_000 }, (_, row) => `${row},"text ${row}, ""quoted""",${row / 4}`);
  lines[3_000] = `3000,"${'long, ""é""\n'.repeat(20_000)}",750`;
  const body = Buffer.from(`x,s,d\r\n${lines.join("\r\n")}\r\n`);
  const whole = newTarget();
  decodeAll(decodeCsv, body, whole);
  assert.equal(whole.account.accepted, 8_000);
  const expected = rowsOf(whole);
  assert.equal(expected[3_000]?.["s"], 'long, "é"\n'.repeat(20_000));
  assert.equal(expected[7_999]?.["s"], 'text 7999, "quoted"');
  for (const sliceBytes of [1, 100_000]) {
    const target = newTarget();
    decodeAll(decodeCsv, body, target, sliceBytes);
    assert.deepEqual(rowsOf(target), expected);
  }
});

test("hostile bodies of megabytes", () => {
  const megabytes = 3 * 1024 * 1024;
  for (const char of ['"', ",", "\n", "x", "\r", "\0"]) {
    const codes = ["INVALID_BODY"] as const;
    isTaken(decodeCsv, Buffer.alloc(megabytes, char), newTarget(), codes);
    const target = newTarget();
    isTaken(decodeCsv, Buffer.concat([Buffer.from("x,y\n"), Buffer.alloc(megabytes, char)]), target, codes);
    assert.equal(target.account.accepted, 0);
  }
  const unclosed = Buffer.from(`x\n${'"a"b\n'.repeat(200_000)}"`);
  assert.equal(refusal(decodeCsv, unclosed).code, "INVALID_BODY");
});
