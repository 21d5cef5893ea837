import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pruneFiles } from "../../../src/main/query/prune-files.js";
import { parseTime } from "../../../src/main/query/resolve-operand.js";
import type { ColumnBounds, DataFile } from "../../../src/shared/messages.js";
import type { CompareOperator, Operand, Predicate } from "../../../src/shared/predicate.js";
import type { ParameterValue } from "../../../src/shared/query-messages.js";
import { dataFileKey } from "../../../src/shared/store/store-paths.js";
import { schemaOf } from "../../workers/query/query-fixture.js";

const schema = schemaOf(
  "timestamp timestamp",
  "id string",
  "n long",
  "d double",
  "s string",
  "b boolean",
  "r double 8 7",
);
const uuid = "0192a3b4-c5d6-7e8f-9012-3456789abcde";
const key = dataFileKey(`t-${uuid}`, { day: 0, createdMs: 0, uuid });

function fileOf(bounds: Readonly<Record<number, ColumnBounds>>, more: Partial<DataFile> = {}): DataFile {
  const fieldIds = [1, 2, 3, 4, 5, 6, 8];
  return { key, bytes: 100, rows: 10, day: 0, bounds, fieldIds, ...more };
}

function range(lower: ColumnBounds["lower"], upper: ColumnBounds["upper"], nulls = 0): ColumnBounds {
  return { lower, upper, nulls };
}

/** True when the file is read. */
function isRead(file: DataFile, predicate: Predicate, values: readonly ParameterValue[] = [], of = schema): boolean {
  const pruned = pruneFiles({
    filesPrunedMin: 1,
    tables: [{ name: "T", schema: of, version: "", files: [file], hot: [] }],
    predicates: [{ table: "t", predicate }],
    parameters: values.map((_, index) => String(index + 1)),
    values,
    nowMs: Date.UTC(2026, 0, 10),
    latestMs: Date.UTC(2026, 0, 10, 1),
  });
  const [report] = pruned.reports;
  assert.equal(report?.filesTotal, 1);
  assert.equal(report?.bytesRead, pruned.tables[0]?.files.length === 1 ? 100 : 0);
  return report?.filesPruned === 0;
}

function column(name: string) {
  return { name, unless: [], truncate: null };
}

function literal(value: string | number): Operand {
  const type = typeof value === "string" ? "text" : Number.isInteger(value) ? "integer" : "double";
  return { kind: "literal", type, value };
}

function compare(name: string, operator: CompareOperator, value: string | number | Operand): Predicate {
  return {
    kind: "compare",
    column: column(name),
    operator,
    operand: typeof value === "object" ? value : literal(value),
  };
}

describe("pruneFiles", () => {
  test("every comparison at its edges", () => {
    const file = fileOf({ 3: range("10", "20") });
    const edges: readonly (readonly [CompareOperator, number, boolean])[] = [
      ["=", 9, false],
      ["=", 10, true],
      ["=", 20, true],
      ["=", 21, false],
      ["<", 10, false],
      ["<", 11, true],
      ["<=", 9, false],
      ["<=", 10, true],
      [">", 20, false],
      [">", 19, true],
      [">=", 21, false],
      [">=", 20, true],
      ["<>", 15, true],
      ["=", 9.2, false],
      ["=", 9.9, false],
      ["<", 10.1, true],
      [">", 20.5, false],
      [">", 22.5, false],
    ];
    for (const [operator, value, expected] of edges) {
      assert.equal(isRead(file, compare("N", operator, value)), expected, `${operator} ${value}`);
    }
    assert.equal(isRead(fileOf({ 3: range("7", "7") }), compare("n", "<>", 7)), false);
  });

  test("the bounds of an encrypted column say nothing of its values, but how many are NULL", () => {
    const columns = schema.columns.map((each) =>
      each.name === "s" ? { ...each, encryption: { scope: "0123456789abcdef", isOn: false, mayBePlain: true } } : each,
    );
    const encrypted = { ...schema, columns };
    const file = fileOf({ 5: range("enc:1:00000000:A", "enc:1:00000000:B", 10) });
    for (const operator of ["=", "<", "<=", ">", ">=", "<>"] as const) {
      assert.equal(
        isRead(fileOf({ 5: range("enc:1:0", "enc:1:1") }), compare("s", operator, "x"), [], encrypted),
        true,
      );
    }
    const prefix: Predicate = { kind: "prefix", column: column("s"), prefix: literal("x") };
    assert.equal(isRead(file, prefix, [], encrypted), true);
    assert.equal(isRead(file, { kind: "is-not-null", column: column("s") }, [], encrypted), false);
    assert.equal(isRead(file, { kind: "is-null", column: column("s") }, [], encrypted), true);
  });

  test("integers beyond 2^53 are compared as far as they are known", () => {
    const file = fileOf({ 3: range("9007199254740993", "9007199254740993") });
    assert.equal(isRead(file, compare("n", "=", 9_007_199_254_740_992)), true);
    assert.equal(isRead(file, compare("n", "=", "9007199254740993")), true);
    assert.equal(isRead(file, compare("n", "=", "9007199254740994")), false);
    assert.equal(isRead(file, compare("n", ">", 9_007_199_254_760_000)), false);
  });

  test("NaN, which is above all and in no bound, keeps a file", () => {
    const file = fileOf({ 4: range(1, 2) });
    assert.equal(isRead(file, compare("d", ">", 5)), true);
    assert.equal(isRead(file, compare("d", "=", 5)), false);
    assert.equal(isRead(file, compare("d", "<", 1)), false);
    assert.equal(isRead(fileOf({ 4: range(null, null) }), compare("d", "<", 1)), true);
    assert.equal(isRead(file, compare("d", "=", { kind: "literal", type: "double", value: Number.NaN })), true);
  });

  test("NULLs: a file of nothing else, a column that the file lacks, and one of another writer", () => {
    assert.equal(isRead(fileOf({ 3: range(null, null, 10) }), compare("n", "=", 1)), false);
    const lacks = { fieldIds: [1, 2] };
    assert.equal(isRead(fileOf({}, lacks), compare("n", "=", 1)), false);
    assert.equal(isRead(fileOf({}, lacks), { kind: "is-null", column: column("n") }), true);
    assert.equal(isRead(fileOf({}, lacks), { kind: "is-not-null", column: column("n") }), false);
    const foreign = { fieldIds: [1, 2], key: `t-${uuid}/data/timestamp_day=1970-01-01/00000-0-x.parquet` };
    assert.equal(isRead(fileOf({}, foreign), compare("n", "=", 1)), true);
    assert.equal(isRead(fileOf({ 3: range("1", "2") }), { kind: "is-null", column: column("n") }), false);
    assert.equal(isRead(fileOf({ 3: range("1", "2", 1) }), { kind: "is-null", column: column("n") }), true);
    assert.equal(isRead(fileOf({ 3: range(null, null) }), { kind: "is-null", column: column("n") }), true);
    assert.equal(isRead(fileOf({}), compare("n", "=", { kind: "literal", type: "null", value: null })), false);
  });

  test("cut bounds of texts, in the order of bytes", () => {
    const cut = fileOf({ 5: range("apple pie with c", "apple pie with d") });
    assert.equal(isRead(cut, compare("s", "=", "apple pie with cream")), true);
    assert.equal(isRead(cut, compare("s", "=", "apple pie with e")), false);
    assert.equal(isRead(cut, compare("s", "<", "apple pie with c")), false);
    assert.equal(isRead(cut, compare("s", "<>", "apple pie with c")), true);
    const prefix = (text: string): Predicate => ({ kind: "prefix", column: column("s"), prefix: literal(text) });
    assert.equal(isRead(cut, prefix("apple pie with cherries and more")), true);
    assert.equal(isRead(cut, prefix("apple")), true);
    assert.equal(isRead(cut, prefix("apple q")), false);
    assert.equal(isRead(cut, prefix("Apple")), false);
    assert.equal(isRead(cut, prefix("")), true);
    // In UTF-16 the emoji would come before U+FF21.
    const wide = fileOf({ 5: range("\uFF21", "\u{1F600}") });
    assert.equal(isRead(wide, compare("s", "=", "\uFF22")), true);
    assert.equal(isRead(wide, compare("s", ">", "\u{1F600}")), false);
    const broken = fileOf({ 5: range("ab\uFFFD", "ab\uFFFD") });
    assert.equal(isRead(broken, compare("s", "=", "ab\u00E9")), true);
    assert.equal(isRead(broken, compare("s", "=", "aa")), false);
  });

  test("a long column that became double, under either of its ids", () => {
    const fieldIds = [1, 2, 3, 4, 5, 6, 7];
    assert.equal(isRead(fileOf({ 7: range("10", "20") }, { fieldIds }), compare("r", "=", 15.5)), true);
    assert.equal(isRead(fileOf({ 7: range("10", "20") }, { fieldIds }), compare("r", "<", 9.5)), false);
    assert.equal(isRead(fileOf({ 8: range(10.5, 20.5) }), compare("r", "=", 10)), false);
    assert.equal(isRead(fileOf({}, { fieldIds }), compare("r", "=", 10)), true);
  });

  test("the day bounds the timestamp where nothing closer is known", () => {
    const day = Date.UTC(2026, 0, 5) / 86_400_000;
    const file = fileOf({}, { day });
    assert.equal(isRead(file, compare("timestamp", ">=", "2026-01-06")), false);
    assert.equal(isRead(file, compare("timestamp", "<", "2026-01-05T00:00:00Z")), false);
    assert.equal(isRead(file, compare("timestamp", "<", "2026-01-05 02:00:00+01")), true);
    const now: Operand = { kind: "now", type: "timestamptz", name: null };
    const ago = (days: number): Operand => ({
      kind: "shift",
      operand: now,
      months: 0,
      days: -days,
      micros: 0,
      isDays: false,
    });
    assert.equal(isRead(file, compare("timestamp", ">", ago(3))), false);
    assert.equal(isRead(file, compare("timestamp", ">", ago(6))), true);
    assert.equal(isRead(file, compare("timestamp", ">", { ...now, name: "current_timestamp" })), false);
    assert.equal(isRead(file, compare("timestamp", ">", { ...now, name: "n" })), true, "a column has this name");
  });

  test("what is not understood reads the file", () => {
    const file = fileOf({ 3: range("10", "20"), 5: range("a", "b") });
    const unknown: readonly Predicate[] = [
      compare("n", "=", "5.0"),
      compare("n", "=", { kind: "parameter", name: "9" }),
      compare("s", "=", 5),
      compare("nothing", "=", 5),
      compare("timestamp", ">", "infinity"),
      compare("timestamp", ">", "2026-02-30"),
      compare("b", "=", 0),
      { kind: "compare", column: { name: "n", unless: ["u"], truncate: null }, operator: "=", operand: literal(5) },
      { kind: "compare", column: { name: "n", unless: [], truncate: "day" }, operator: "=", operand: literal(5) },
    ];
    for (const predicate of unknown) {
      assert.equal(isRead(file, predicate), true, JSON.stringify(predicate));
      assert.equal(isRead(file, { kind: "or", terms: [compare("n", "=", 5), predicate] }), true);
      assert.equal(isRead(file, { kind: "and", terms: [compare("n", "=", 5), predicate] }), false);
    }
    assert.equal(isRead(file, compare("n", "=", { kind: "parameter", name: "1" }), [5]), false);
    assert.equal(isRead(file, { kind: "is", column: column("n"), value: true }), true);
  });
});

test("a few files are left out only where that is worth it, or nothing is left", () => {
  const files = [1, 2, 3, 4].map((n) => fileOf({ 3: range(String(n), String(n)) }));
  const request = {
    tables: [{ name: "t", schema, version: "", files, hot: [] }],
    parameters: [],
    values: [],
    nowMs: 0,
    latestMs: 0,
    filesPrunedMin: 3,
  };
  const left = (operator: CompareOperator, value: number): readonly unknown[] => {
    const [report] = pruneFiles({
      ...request,
      predicates: [{ table: "t", predicate: compare("n", operator, value) }],
    }).reports;
    return [report?.filesPruned, report?.filesUnneeded];
  };
  assert.deepEqual(left("<", 3), [0, 2]);
  assert.deepEqual(left("<", 2), [3, 3]);
  assert.deepEqual(left("<", 1), [4, 4]);
});

test("with very many files only the shorter conditions are looked at", () => {
  const files = Array.from({ length: 20_000 }, (_, n) => fileOf({ 3: range(String(n), String(n)) }));
  const terms = Array.from({ length: 3 }, (_, n) => compare("n", "=", n));
  const inList: Predicate = { kind: "or", terms };
  const count = (predicate: Predicate): number | undefined =>
    pruneFiles({
      tables: [{ name: "t", schema, version: "", files, hot: [] }],
      predicates: [{ table: "t", predicate }],
      parameters: [],
      values: [],
      nowMs: 0,
      latestMs: 0,
      filesPrunedMin: 1,
    }).tables[0]?.files.length;
  assert.equal(count(inList), 20_000);
  assert.equal(count({ kind: "and", terms: [inList, compare("n", "<", 100)] }), 100);
  assert.equal(count({ kind: "and", terms: [compare("n", ">=", 1), compare("n", "<", 100)] }), 99);
});

test("times in plain ISO 8601 only", () => {
  const micros = (text: string): bigint | undefined => parseTime(text, "timestamptz")?.low;
  assert.equal(micros("1970-01-02"), 86_400_000_000n);
  assert.equal(micros("1969-12-31 23:59:59.5"), -500_000n);
  assert.equal(micros("1970-01-01T00:00:00.000001Z"), 1n);
  assert.equal(micros("1970-01-01 01:30:00+01:30"), 0n);
  assert.equal(micros("1969-12-31 19:00-05"), 0n);
  for (const text of ["1970-1-1", "1970-13-01", "1970-01-01 24:00:00", "1970-01-01 00:00:00.1234567", "now", ""]) {
    assert.equal(micros(text), undefined, text);
  }
  assert.equal(parseTime("1970-01-01 00:00:00", "date"), undefined);
  assert.equal(parseTime("1970-01-01 00:00:00Z", "timestamp"), undefined);
});
