import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeNdjson } from "../../../src/workers/decode/decode-ndjson.js";
import {
  codesOf,
  decodeAll,
  newTarget,
  payloadsOf,
  receivedMicros,
  rowsOf,
  shared,
  typesOf,
  valuesOf,
} from "./bulk-harness.js";
import { decodeText } from "./json-samples.js";

test("keys become columns of the type of their first value", () => {
  const { target, rows } = decodeText(
    decodeNdjson,
    '{"a":1,"b":1.5,"c":"x","d":true,"e":{"f":[1, 2]},"g":[],"h":null,"i":1e2,"j":false}\n{"h":"late","b":2}\n',
  );
  assert.deepEqual(typesOf(target), {
    a: "long", b: "double", c: "string", d: "boolean", e: "json", g: "json", i: "double", j: "boolean", h: "string",
  }); // prettier-ignore
  assert.deepEqual(payloadsOf(target), [
    { a: 1n, b: 1.5, c: "x", d: true, e: { f: [1, 2] }, g: [], i: 100, j: false },
    { b: 2, h: "late" },
  ]);
  assert.equal(rows[0]?.["timestamp"], BigInt(receivedMicros));
});

test("timestamp and id are the system columns, in any case and place", () => {
  const { rows } = decodeText(
    decodeNdjson,
    [
      '{"timestamp":"2026-11-22T12:00:00Z","id":"one","x":1}',
      '{"x":2,"ID":"two","Timestamp":1795348800000}',
      '{"Id":33,"x":3,"TIMESTAMP":null}',
      '{"id":null,"x":4,"timestamp":"2026-11-22T13:00:00.5+01:00"}',
      '{"\\u0069d":"f\\u0069ve","x":5,"timestamp":"2026-11-22T12:00:00\\u005a"}',
      '{"id":"","x":6}',
    ].join("\n"),
  );
  const noon = 1_795_348_800_000_000n;
  assert.deepEqual(rows, [
    { timestamp: noon, id: "one", x: 1n },
    { timestamp: noon, id: "two", x: 2n },
    { timestamp: BigInt(receivedMicros), id: "33", x: 3n },
    { timestamp: noon + 500_000n, x: 4n },
    { timestamp: noon, id: "five", x: 5n },
    { timestamp: BigInt(receivedMicros), x: 6n },
  ]);
});

test("column names are one whatever their case, and keep the first", () => {
  const { target } = decodeText(decodeNdjson, '{"CpuLoad":1}\n{"cpuload":2}\n{"CPULOAD":3,"cpuLoad":4}\n');
  assert.deepEqual(payloadsOf(target), [{ CpuLoad: 1n }, { CpuLoad: 2n }, { CpuLoad: 4n }]);
});

test("blank lines are passed over, CRLF and a missing last line break will do", () => {
  const { target } = decodeText(decodeNdjson, '\n\r\n  \t\n{"x":1}\r\n\r\n  {"x":2}  \r\n{"x":3}\t\n\n{"x":4}');
  assert.deepEqual(valuesOf(target), [1n, 2n, 3n, 4n]);
  assert.equal(target.account.rejected, 0);
  for (const body of ["", "\n", "  ", "\r\n\r\n"]) assert.equal(decodeText(decodeNdjson, body).rows.length, 0);
});

test("a byte order mark in front is passed over", () => {
  assert.deepEqual(valuesOf(decodeText(decodeNdjson, '\ufeff{"x":1}\n').target), [1n]);
  // Only in front of the body.
  assert.deepEqual(codesOf(decodeText(decodeNdjson, '{"x":1}\n\ufeff{"x":2}\n').target), [[1, null, "INVALID_JSON"]]);
});

test("a broken line is rejected alone, and says where it broke", () => {
  const broken = [
    '{"x":}', '{"x":1', '{"x":1,}', '{"x":01}', '{"x":+1}', '{"x":.5}', '{"x":1.}', '{"x":1e}', '{"x":nul}', '{"x":tru}', '{"x":NaN}',
    '{"x":Infinity}', '{x:1}', "{'x':1}", '{"x" 1}', '{"x":1 "y":2}', '{"x":1}}', '{"x":1},', '{"x":1}{"x":2}', '{"x":1} x', '{,"x":1}', "{",
    "}", "nonsense", '{"x":"a\tb"}', '{"x":"a\\qb"}', '{"x":"\\u12"}', '{"x":"open}', '{"x":[1,}', '{"x":{"a"}}', '{"x":[1}', '{"x":truex}',
    '{"x":nullx}', '{"x":1x}', '{"x":"a"x}', '{"x":1.5.5}', '{"x":--1}', '{"x":1,"x"}', '{"x":1,,"y":2}', '{"":}', '"', "[", '{"x":[', "\0", '{"x":\0}',
  ]; // prettier-ignore
  for (const line of broken) {
    for (const options of [{}, { columns: { x: "long", y: "string" } as const }]) {
      const { target, errors } = decodeText(decodeNdjson, `{"x":1}\n${line}\n{"x":2}\n`, options);
      assert.deepEqual(valuesOf(target), [1n, 2n], line);
      assert.deepEqual(codesOf(target), [[1, null, "INVALID_JSON"]], line);
      assert.match(errors[0]?.message ?? "", /^not JSON at byte \d+ of the line: (?:unexpected|nested)/, line);
    }
  }
  const { errors } = decodeText(decodeNdjson, '{"x":1}\n{"x":1,"y":?}\n');
  assert.equal(errors[0]?.message, 'not JSON at byte 11 of the line: unexpected "?"');
});

test("a row does not go on in the next line, whatever was learned before", () => {
  const { target } = decodeText(decodeNdjson, '{"x":1,"y":2}\n{"x":3,\n"y":4}\n{"x":\n5}\n{"x":6,"y":7}\n');
  assert.deepEqual(payloadsOf(target), [
    { x: 1n, y: 2n },
    { x: 6n, y: 7n },
  ]);
  assert.equal(target.account.rejected, 4);
});

test("a line that is JSON but no object is rejected alone", () => {
  const { target } = decodeText(decodeNdjson, '1\n"text"\nnull\n[{"x":1}]\ntrue \n{"x":1}\n');
  assert.deepEqual(
    codesOf(target),
    [0, 1, 2, 3, 4].map((row) => [row, null, "INVALID_ROW"]),
  );
  assert.deepEqual(valuesOf(target), [1n]);
});

test("a value that does not fit its column rejects the row, and names the column", () => {
  const columns = { l: "long", d: "double", s: "string", b: "boolean", t: "timestamp", j: "json" } as const;
  const wrong: readonly (readonly [string, string])[] = [
    ["l", '"1"'], ["l", "true"], ["l", "[]"], ["l", "{}"],
    ["d", '"1"'], ["d", "false"], ["d", "[1]"], ["s", "1"], ["s", "1.5"], ["s", "true"], ["s", "{}"], ["s", "[]"],
    ["b", "1"], ["b", '"true"'], ["b", "[]"], ["t", "true"], ["t", "{}"], ["j", "1"], ["j", '"x"'], ["j", "true"],
  ]; // prettier-ignore
  for (const [column, value] of wrong) {
    const { target, errors } = decodeText(decodeNdjson, `{"${column}":${value},"l":1}\n`, { columns });
    if (column === "l") continue;
    assert.deepEqual(codesOf(target), [[0, column, "TYPE_MISMATCH"]], `${column} ${value}`);
    assert.match(errors[0]?.message ?? "", /^the column takes .*; the value is /);
  }
  for (const value of ['"1"', "true", "[]", "{}"]) {
    assert.deepEqual(codesOf(decodeText(decodeNdjson, `{"l":${value}}`, { columns }).target), [
      [0, "l", "TYPE_MISMATCH"],
    ]);
  }
  const { errors } = decodeText(decodeNdjson, '{"l":"1"}', { columns });
  assert.equal(errors[0]?.message, "the column takes an integer; the value is a string");
});

test("null is no value and makes no column", () => {
  const { target } = decodeText(decodeNdjson, '{"x":null}\n{"x":null,"y":1}\n{"y":null}\n{"y":2}\n');
  assert.deepEqual(typesOf(target), { y: "long" });
  assert.deepEqual(valuesOf(target, "y"), [null, 1n, null, 2n]);
});

test("integers are exact to 64 bits", () => {
  const texts = ["9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "0", "-0"];
  const { target } = decodeText(decodeNdjson, texts.map((text) => `{"x":${text}}`).join("\n"));
  assert.deepEqual(valuesOf(target), texts.map(BigInt));
});

test("an integer past 64 bits: a new column is a double, a long column refuses it, a double column takes it", () => {
  const huge = "9223372036854775808";
  assert.deepEqual(typesOf(decodeText(decodeNdjson, `{"x":${huge}}`).target), { x: "double" });
  const { target } = decodeText(decodeNdjson, `{"x":${huge},"y":${huge}}\n{"y":${huge}}`, {
    columns: { x: "long", y: "double" },
  });
  assert.deepEqual(codesOf(target), [[0, "x", "NUMBER_OUT_OF_RANGE"]]);
  assert.deepEqual(valuesOf(target, "y"), [2 ** 63]);
});

test("a long column takes fractions that are none", () => {
  const { target } = decodeText(
    decodeNdjson,
    '{"x":3.0}\n{"x":1e3}\n{"x":-2.500e1}\n{"x":9007199254740993.000}\n{"x":0.0}\n{"x":-0.0}',
    {
      columns: { x: "long" },
    },
  );
  assert.deepEqual(valuesOf(target), [3n, 1000n, -25n, 9007199254740993n, 0n, 0n]);
  assert.deepEqual(typesOf(target), { x: "long" });
});

test("a long column that meets a fraction becomes double, its rows with it", () => {
  const { target } = decodeText(decodeNdjson, '{"x":1,"y":1}\n{"y":2}\n{"x":2.5,"y":3}\n{"x":4,"y":4}\n{"x":1e300}\n');
  assert.deepEqual(typesOf(target), { x: "double", y: "long" });
  assert.deepEqual(valuesOf(target), [1, null, 2.5, 4, 1e300]);
  assert.deepEqual(valuesOf(target, "y"), [1n, 2n, 3n, 4n, null]);
});

test("widening in the middle of a row that names the column again", () => {
  const { target } = decodeText(decodeNdjson, '{"x":1,"x":2}\n{"x":1,"x":2}\n{"x":1.5,"x":2}\n{"x":1,"x":2.5}\n');
  assert.deepEqual(valuesOf(target), [2, 2, 2, 2.5]);
});

test("a widening that belongs to a rejected row is undone", () => {
  const { target } = decodeText(decodeNdjson, '{"x":9007199254740993,"s":"a"}\n{"x":0.5,"s":1}\n{"x":2,"s":"b"}\n');
  assert.deepEqual(typesOf(target), { x: "long", s: "string" });
  assert.deepEqual(valuesOf(target), [9007199254740993n, 2n]);
  assert.equal(target.builder.schema.version, 2);
});

test("where the table rejects fractions in long columns the row is rejected", () => {
  const { target } = decodeText(decodeNdjson, '{"x":1}\n{"x":2.5}\n{"x":3}\n', {
    rules: { longMeetsDouble: "reject" },
  });
  assert.deepEqual(codesOf(target), [[1, "x", "TYPE_MISMATCH"]]);
  assert.deepEqual(valuesOf(target), [1n, 3n]);
});

test("numbers that are not finite as doubles are out of range", () => {
  const { target } = decodeText(decodeNdjson, '{"x":1e999}\n{"x":-1e999}\n{"x":1e-999}\n{"l":1e999}\n', {
    columns: { x: "double", l: "long" },
  });
  assert.deepEqual(codesOf(target), [
    [0, "x", "NUMBER_OUT_OF_RANGE"],
    [1, "x", "NUMBER_OUT_OF_RANGE"],
    [3, "l", "NUMBER_OUT_OF_RANGE"],
  ]);
  assert.deepEqual(valuesOf(target), [0]);
  const fresh = decodeText(decodeNdjson, '{"x":1e999}\n');
  assert.deepEqual(codesOf(fresh.target), [[0, "x", "NUMBER_OUT_OF_RANGE"]]);
  assert.deepEqual(typesOf(fresh.target), {}, "a rejected row leaves no column behind");
});

test("a timestamp column of the user takes every form of a timestamp", () => {
  const noon = 1_795_348_800_000_000n;
  const { target } = decodeText(
    decodeNdjson,
    '{"x":"2026-11-22T12:00:00Z"}\n{"x":1795348800}\n{"x":1795348800000.5}\n{"x":1.7953488e9}\n{"x":"\\u00322026-11-22"}\n{"x":"yesterday"}\n{"x":"0000-01-01T00:00:00Z"}\n{"x":99999999999999999999}\n{"x":"2026-11-22T12:00:00Z "}\n',
    {
      columns: { x: "timestamp" },
    },
  );
  assert.deepEqual(valuesOf(target), [noon, noon, noon + 500n, noon]);
  assert.deepEqual(codesOf(target), [
    [4, "x", "INVALID_TIMESTAMP"],
    [5, "x", "INVALID_TIMESTAMP"],
    [6, "x", "TIMESTAMP_OUT_OF_RANGE"],
    [7, "x", "TIMESTAMP_OUT_OF_RANGE"],
    [8, "x", "INVALID_TIMESTAMP"],
  ]);
});

test("ids keep the table's rule", () => {
  const { target } = decodeText(
    decodeNdjson,
    '{"id":"fine"}\n{"id":"not fine"}\n{"id":"also\\u0020not"}\n{"id":1.5}\n{"id":true}\n{"id":[]}\n{"id":1e3}\n{"id":-7}\n{"id":123456789012345678901234567890}\n',
  );
  assert.deepEqual(valuesOf(target, "id"), ["fine", "-7", "123456789012345678901234567890"]);
  assert.deepEqual(codesOf(target), [
    [1, "id", "INVALID_ID"],
    [2, "id", "INVALID_ID"],
    [3, "id", "TYPE_MISMATCH"],
    [4, "id", "TYPE_MISMATCH"],
    [5, "id", "TYPE_MISMATCH"],
    [6, "id", "TYPE_MISMATCH"],
  ]);
});

test("a missing id is generated, or rejected where it is required", () => {
  let next = 0;
  const generated = decodeText(decodeNdjson, '{"x":1}\n{"x":2,"id":"own"}\n{"id":null}\n{"id":""}', {
    defaults: { generateId: () => `g${next++}` },
  });
  assert.deepEqual(valuesOf(generated.target, "id"), ["g0", "own", "g1", "g2"]);
  const required = decodeText(decodeNdjson, '{"x":1}\n{"x":2,"id":"own"}\n{"id":null}\n{"id":""}', {
    defaults: { idRequired: true },
  });
  assert.deepEqual(valuesOf(required.target, "id"), ["own"]);
  assert.deepEqual(
    codesOf(required.target),
    [0, 2, 3].map((row) => [row, "id", "ID_REQUIRED"]),
  );
});

test("of a key that comes twice the last counts", () => {
  const columns = { x: "long", s: "string", j: "json" } as const;
  const { target } = decodeText(
    decodeNdjson,
    [
      '{"x":1,"x":2}',
      '{"x":1,"s":"a","x":null}',
      '{"x":"wrong","x":3}',
      '{"x":"wrong","x":null,"s":"b"}',
      '{"x":4,"x":"wrong"}',
      '{"s":"a","s":"b\\n","s":"c"}',
      '{"id":"a","ID":"b","x":5}',
      '{"id":"a","id":null,"x":6}',
      '{"id":"not fine","id":"b","x":7}',
      '{"timestamp":"nonsense","timestamp":1795348800,"x":8}',
      '{"j":{"a":1,"a":2},"j":[1]}',
    ].join("\n"),
    { columns },
  );
  assert.deepEqual(codesOf(target), [[4, "x", "TYPE_MISMATCH"]]);
  assert.deepEqual(payloadsOf(target), [
    { x: 2n }, { s: "a" }, { x: 3n }, { s: "b" }, { s: "c" }, { id: "b", x: 5n }, { x: 6n }, { id: "b", x: 7n }, { x: 8n }, { j: [1] },
  ]); // prettier-ignore
});

test("strings: escapes, surrogates, any character, every length", () => {
  const texts = [
    "",
    "a",
    "é",
    "😀",
    "\u0000",
    'q"q',
    "back\\slash",
    "tab\tline\nreturn\r",
    "\u2028",
    "日本語テキスト",
    "a".repeat(100) + "é",
  ];
  for (let length = 0; length < 40; length++) {
    texts.push("x".repeat(length), `${"x".repeat(length)}é`, `${"x".repeat(length)}\n`);
  }
  const escaped = texts.map((text) =>
    JSON.stringify(text).replaceAll(
      /[^\u0000-\u007f]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  );
  for (const literals of [texts.map((text) => JSON.stringify(text)), escaped]) {
    const { target } = decodeText(decodeNdjson, literals.map((literal) => `{"x":${literal}}`).join("\n"));
    assert.deepEqual(valuesOf(target), texts);
  }
  const halves = decodeText(decodeNdjson, '{"x":"\\ud83d"}\n{"x":"\\ude00x"}\n{"x":"\\ud83d\\ud83d\\ude00"}');
  assert.deepEqual(valuesOf(halves.target), ["\ufffd", "\ufffdx", "\ufffd😀"]);
});

test("broken UTF-8 rejects the row with the column, in values, nested values and keys", () => {
  const line = (before: string, after: string): Buffer =>
    Buffer.concat([Buffer.from(before), Buffer.of(0xc3, 0x28), Buffer.from(`${after}\n`)]);
  const body = Buffer.concat([
    line('{"x":"', '"}'),
    line('{"x":"\\n', '"}'),
    line('{"j":["', '"]}'),
    line('{"j":{"', '":1}}'),
    line('{"k', '":1}'),
    Buffer.from('{"x":"fine"}'),
  ]);
  const { target } = decodeText(decodeNdjson, body, { columns: { x: "string", j: "json" } });
  assert.deepEqual(codesOf(target), [
    [0, "x", "INVALID_UTF8"],
    [1, "x", "INVALID_UTF8"],
    [2, "j", "INVALID_UTF8"],
    [3, "j", "INVALID_UTF8"],
    [4, null, "INVALID_UTF8"],
  ]);
  assert.deepEqual(valuesOf(target), ["fine"]);
});

test("values longer than the limit reject their row", () => {
  const options = { valueBytesMax: 10, columns: { x: "string", j: "json" } } as const;
  const { target } = decodeText(
    decodeNdjson,
    '{"x":"0123456789"}\n{"x":"0123456789a"}\n{"x":"01234567é"}\n{"x":"012345678é"}\n{"x":"\\u0030123456789"}\n{"x":"\\u00301234567890"}\n{"j":[12345678]}\n{"j":[123456789]}\n',
    options,
  );
  assert.deepEqual(
    codesOf(target),
    [
      [1, "x"],
      [3, "x"],
      [5, "x"],
      [7, "j"],
    ].map(([row, column]) => [row, column, "VALUE_TOO_LARGE"]),
  );
  assert.deepEqual(valuesOf(target), ["0123456789", "01234567é", "0123456789", null]);
});

test("keys that cannot be columns reject their row", () => {
  const long = "k".repeat(300);
  const { target } = decodeText(
    decodeNdjson,
    `{"":1}\n{"a\\u0000b":1}\n{"${long}":1}\n{"${"k".repeat(10_000)}":1}\n{"a b.c-é":1}\n`,
  );
  assert.deepEqual(
    codesOf(target).map((error) => (error as unknown[])[2]),
    Array.from({ length: 4 }, () => "INVALID_COLUMN_NAME"),
  );
  assert.deepEqual(typesOf(target), { "a b.c-é": "long" });
});

test("a table that takes no new columns, or no more of them", () => {
  const closed = decodeText(decodeNdjson, '{"x":1}\n{"x":2,"y":1}\n{"x":3,"y":null}\n', {
    columns: { x: "long" },
    rules: { addColumns: false },
  });
  assert.deepEqual(codesOf(closed.target), [[1, "y", "UNKNOWN_COLUMN"]]);
  assert.deepEqual(valuesOf(closed.target), [1n, 3n]);
  const { errors } = decodeText(decodeNdjson, '{"y":1,"z":null,"x":null,"w":null}\n', { rules: { addColumns: false } });
  assert.equal(errors[0]?.column, "y", "nulls behind an unknown key do not forgive it");
  const rows = '{"y":{"x":[1]},"x":1}\n{"x":2,"y":"a","z z":1.5}\n{"y":null,"x":3}\n{"y":tru,"x":4}\n';
  const ignoring = decodeText(decodeNdjson, rows, { columns: { x: "long" }, rules: { ignoreUnknown: true } });
  assert.deepEqual(codesOf(ignoring.target), [[3, null, "INVALID_JSON"]], "what is left out is JSON all the same");
  assert.deepEqual(typesOf(ignoring.target), { x: "long" });
  assert.deepEqual(valuesOf(ignoring.target), [1n, 2n, 3n]);
  const full = decodeText(decodeNdjson, '{"x":1}\n{"y":1}\n', { rules: { columnsMax: 3 } });
  assert.deepEqual(codesOf(full.target), [[1, "y", "TOO_MANY_COLUMNS"]]);
});

test("columns that a rejected row added are gone again", () => {
  const { target } = decodeText(
    decodeNdjson,
    '{"x":1}\n{"y":1,"x":"wrong"}\n{"z":1,"broken\n{"y":"text","x":2}\n{"x":3}\n',
  );
  assert.deepEqual(typesOf(target), { x: "long", y: "string" });
  assert.deepEqual(payloadsOf(target), [{ x: 1n }, { x: 2n, y: "text" }, { x: 3n }]);
});

test("nesting is followed to the limit", () => {
  const nested = (depth: number): string => `{"x":${"[".repeat(depth)}${"]".repeat(depth)}}\n`;
  const { target, errors } = decodeText(decodeNdjson, nested(5) + nested(6) + nested(1), { depthMax: 5 });
  assert.deepEqual(codesOf(target), [[1, null, "INVALID_JSON"]]);
  assert.match(errors[0]?.message ?? "", /nested deeper than 5 levels/);
  assert.equal(target.account.accepted, 2);
});

test("rows go behind the rows of an earlier request, and the next body finds what this one learned", () => {
  const target = newTarget({ earlierRows: 3 });
  decodeAll(decodeNdjson, Buffer.from('{"x":1,"y":"a"}\n{"x":2,"y":"b"}\n'), target);
  decodeAll(decodeNdjson, Buffer.from('{"x":3,"y":"c"}\n{"y":"d","z":true}\n'), target);
  assert.deepEqual(valuesOf(target), [null, null, null, 1n, 2n, 3n, null]);
  assert.deepEqual(valuesOf(target, "y"), [null, null, null, "a", "b", "c", "d"]);
  target.builder.reset();
  decodeAll(decodeNdjson, shared(Buffer.from('{"x":4,"y":"e"}\n')), target);
  const { timestamp: _timestamp, ...row } = rowsOf(target)[0] ?? {};
  assert.deepEqual(row, { x: 4n, y: "e" });
});

test("slices of any size give the same rows", () => {
  const lines = Array.from({ length: 3_000 }, (_, row) =>
    JSON.stringify({ x: row, s: `text ${row}`.repeat(row % 7), t: row % 3 === 0 ? null : row / 4 }),
  );
  lines[1_500] = `{"s":"${"long ".repeat(40_000)}","x":1500}`;
  lines[2_000] = "broken";
  const body = Buffer.from(lines.join("\n"));
  const whole = newTarget();
  decodeAll(decodeNdjson, body, whole);
  assert.equal(whole.account.accepted, 2_999);
  const expected = rowsOf(whole);
  for (const sliceBytes of [1, 1_000, 65_536, 100_000]) {
    const target = newTarget();
    decodeAll(decodeNdjson, body, target, sliceBytes);
    assert.deepEqual(rowsOf(target), expected);
    assert.deepEqual(codesOf(target), [[2_000, null, "INVALID_JSON"]]);
  }
});
