import assert from "node:assert/strict";
import { test } from "node:test";
import type { ColumnBatch, ColumnData } from "../../../src/shared/columns/column-batch.js";
import { RowAccount } from "../../../src/shared/columns/row-account.js";
import { ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import type { OperationsPart } from "../../../src/shared/formats/wal-operations-v1.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { limits } from "../../../src/shared/limits.js";
import { frameFormats } from "../../../src/shared/ring/frame.js";
import { initialSchema, withColumn, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import type { TableSettings } from "../../../src/shared/schema/table-settings.js";
import { BatchIds } from "../../../src/workers/buffer/batch-ids.js";
import { TableOwner } from "../../../src/workers/buffer/table-owner.js";
import { openDecode } from "../../../src/workers/decode/formats.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 400);
const receivedMicros = 1_700_000_000_000_000;

function newOwner(settings: TableSettings, schema: TableSchema = initialSchema, hasFiles = false): TableOwner {
  const identity = { name: "t", uuid: "7d3f0c7e-1111-4222-8333-000000000000", location: "" };
  return new TableOwner(
    { identity, schema, settings, flushedSequence: 0, hasFiles, slot: 0 },
    {
      worker: 0,
      batchIds: new BatchIds({ windowMs: 1e9, countMax: 100, errorsMax: 1e6 }),
      columnKeys: new ColumnKeys([]),
      takeBlock: () => assert.fail("nothing is emitted here"),
    },
  );
}

interface Taken {
  readonly parts: readonly OperationsPart[];
  readonly account: RowAccount;
}

function sorted(owner: TableOwner, account: RowAccount, idRequired = false): readonly OperationsPart[] {
  const steps = owner.takeOperations(account, receivedMicros, idRequired);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function take(owner: TableOwner, lines: readonly object[], idRequired = false): Taken {
  const account = new RowAccount(100);
  const target = owner.operationsTarget(account, receivedMicros);
  const body = Buffer.from(lines.map((line) => JSON.stringify(line)).join("\n"));
  const decoding = openDecode(frameFormats.ndjson, false, body, target);
  while (!decoding.step(body.length + 1));
  return { parts: sorted(owner, account, idRequired), account };
}

interface Row {
  readonly id: string | null;
  readonly v: number | null;
}

function rowsOf({ columns, rowCount }: ColumnBatch): Row[] {
  const column = (fieldId: number): ColumnData | undefined => columns.find((each) => each.fieldId === fieldId);
  const isNull = (data: ColumnData | undefined, row: number): boolean =>
    data === undefined || (data.validity !== null && ((data.validity[row >> 3] ?? 0) & (1 << (row & 7))) === 0);
  const ids = column(2);
  const values = column(3);
  return Array.from({ length: rowCount }, (_, row) => ({
    id: isNull(ids, row)
      ? null
      : Buffer.from(ids?.values.subarray(ids.offsets?.[row], ids.offsets?.[row + 1]) ?? []).toString(),
    v:
      values === undefined || isNull(values, row)
        ? null
        : Number(new BigInt64Array(values.values.buffer, values.values.byteOffset, rowCount)[row]),
  }));
}

const kindName = {
  [recordKinds.tombstones]: "delete",
  [recordKinds.replacing]: "replace",
  [recordKinds.rows]: "insert",
};

/** The plain meaning: one row after the other. */
function apply(state: readonly Row[], act: string, row: Row): Row[] {
  const others = act === "insert" ? [...state] : state.filter(({ id }) => id !== row.id);
  return act === "delete" ? others : [...others, row];
}

/** Of each id in their order; among ids there is none. */
function byId(state: readonly Row[]): string[] {
  const lists = new Map<string | null, (number | null)[]>();
  for (const { id, v } of state) lists.set(id, [...(lists.get(id) ?? []), v]);
  return [...lists].map(([id, values]) => `${id}: ${values.join(" ")}`).toSorted();
}

const wordActs: Readonly<Record<string, string>> = {
  insert: "insert",
  c: "insert",
  R: "insert",
  Replace: "replace",
  UPSERT: "replace",
  update: "replace",
  u: "replace",
  delete: "delete",
  D: "delete",
};
const wrongWords = ["", "x", "deleted", "inserT ", "truncate"];
const schema = withColumn(initialSchema, "v", "long");

function randomLine(random: SeededRandom): { readonly line: Record<string, unknown>; readonly row: Row } {
  const line: Record<string, unknown> = {};
  const kind = random.integer(12);
  if (kind === 0) line["_OP"] = random.pick(wrongWords);
  else if (kind === 1) line["_op"] = null;
  else if (kind > 2) line[random.integer(9) === 0 ? "_Op" : "_op"] = random.pick(Object.keys(wordActs));
  const idKind = random.integer(14);
  const id = idKind === 0 ? null : idKind === 1 ? "bréaks the rule" : random.pick(["a", "b", "c", "d"]);
  if (id !== null || random.integer(2) === 0) line["id"] = id;
  const v = random.integer(8) === 0 ? null : random.integer(100);
  if (v !== null) line["v"] = v;
  return { line, row: { id, v } };
}

test(`parts do what the rows do one after the other, and the account says which make no sense (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const where = `seed ${seed} round ${round}`;
    const isUpsert = random.integer(2) === 0;
    const idRequired = random.integer(3) === 0;
    const owner = newOwner({ mode: isUpsert ? "upsert" : "append" }, schema);
    let expected: Row[] = ["a", "b", "c"].map((id, v) => ({ id, v: 1000 + v }));
    let actual = expected;
    const lines = Array.from({ length: 1 + random.integer(30) }, () => randomLine(random));
    const errors: string[] = [];
    for (const [index, { line, row }] of lines.entries()) {
      const word = line["_op"] ?? line["_Op"] ?? line["_OP"] ?? "insert";
      const plain = wordActs[word as string];
      const act = plain === "insert" && isUpsert ? "replace" : plain;
      if (act === undefined) errors.push(`${index} INVALID_OPERATION`);
      else if (row.id === null && (act !== "insert" || idRequired)) errors.push(`${index} ID_REQUIRED`);
      else if (row.id?.includes(" ") === true && act !== "delete") errors.push(`${index} INVALID_ID`);
      else expected = apply(expected, act, row);
    }
    const { parts, account } = take(
      owner,
      lines.map(({ line }) => line),
      idRequired,
    );
    const kinds = parts.map(({ kind }) => kind);
    assert.deepEqual(
      kinds,
      [recordKinds.tombstones, recordKinds.replacing, recordKinds.rows].filter((kind) => kinds.includes(kind)),
      where,
    );
    for (const { kind, batch } of parts) {
      assert.ok(batch.rowCount > 0 && batch.columns.some(({ fieldId, nullCount }) => fieldId === 1 && nullCount === 0));
      assert.ok(
        batch.columns.every(({ fieldId }) => fieldId !== 0),
        "the operations are no column",
      );
      for (const row of rowsOf(batch)) actual = apply(actual, kindName[kind], row);
    }
    assert.deepEqual(byId(actual), byId(expected), where);
    assert.deepEqual(
      account.errors.map(({ row, code }) => `${row} ${code}`),
      errors,
      where,
    );
    assert.deepEqual([account.accepted, account.rejected], [lines.length - errors.length, errors.length], where);
    assert.equal(owner.schema, schema, where);
  }
});

test("errors of the decoder and of operations come in the order of their rows, and no more than are kept", () => {
  const owner = newOwner({}, schema);
  const lines = Array.from({ length: 300 }, (_, n) =>
    n % 3 === 0 ? { id: "a", v: "text" } : n % 3 === 1 ? { id: "a", _op: "no" } : { id: "a", _op: 7 },
  );
  const { parts, account } = take(owner, [...lines, { id: "b", v: 1 }]);
  assert.deepEqual([account.accepted, account.rejected, account.errors.length], [1, 300, 100]);
  assert.deepEqual(
    account.errors.map(({ row }) => row),
    Array.from({ length: 100 }, (_, row) => row),
  );
  assert.deepEqual(
    account.errors.slice(0, 3).map(({ code, column }) => `${code} ${column}`),
    ["TYPE_MISMATCH v", "INVALID_OPERATION _op", "TYPE_MISMATCH _op"],
  );
  assert.match(account.errors[1]?.message ?? "", /"no"$/);
  assert.deepEqual(
    parts.flatMap(({ batch }) => rowsOf(batch)),
    [{ id: "b", v: 1 }],
  );
});

test("ids are made for inserts, where the table makes them", () => {
  const owner = newOwner({ idStrategy: "uuid" }, schema);
  const { parts, account } = take(owner, [{ v: 1 }, { id: "a", v: 2 }, { v: 3, _op: "c" }, { v: 4, _op: "u" }], true);
  assert.deepEqual(
    account.errors.map(({ row, code }) => [row, code]),
    [[3, "ID_REQUIRED"]],
  );
  const rows = parts.flatMap(({ batch }) => rowsOf(batch));
  assert.deepEqual(
    rows.map(({ v }) => v),
    [1, 2, 3],
  );
  assert.equal(rows[1]?.id, "a");
  assert.match(rows[0]?.id ?? "", /^[0-9a-f-]{36}$/);
  assert.notEqual(rows[0]?.id, rows[2]?.id);
});

test("only rows that are left change the schema, and field ids follow the table's own", () => {
  const owner = newOwner({});
  take(owner, [
    { id: "a", gone: 1, _op: "delete" },
    { id: "b", wrong: 1, _op: "?" },
    { id: "c", undone: true },
    { id: "c", v: 1, _op: "u" },
    { id: "d", late: "x", v: 1.5 },
  ]);
  assert.deepEqual(
    owner.schema.columns.map(({ fieldId, name, type }) => `${fieldId} ${name} ${type}`),
    ["1 timestamp timestamp", "2 id string", "3 v double", "4 late string"],
  );
  assert.equal(owner.schema.version, 2);
  const before = owner.schema;
  const { parts } = take(owner, [
    { id: "a", V: 2, late: "y", more: 1, _op: "d" },
    { id: "z", v: 3 },
  ]);
  assert.equal(owner.schema, before);
  assert.deepEqual(
    parts.map(({ batch }) => batch.columns.map(({ fieldId }) => fieldId)),
    [
      [1, 2],
      [1, 2, 3],
    ],
  );
});

test("a long column widens for rows that are left alone, under a field id of its own where files hold the old", () => {
  const widened = (hasFiles: boolean): string[] => {
    const owner = newOwner({}, schema, hasFiles);
    take(owner, [
      { id: "a", v: 0.5, _op: "d" },
      { id: "b", v: 1, _op: "?" },
    ]);
    assert.equal(owner.schema, schema);
    take(owner, [{ id: "a", v: 0.5, n: 1 }]);
    return owner.schema.columns.slice(2).map(({ fieldId, name, type }) => `${fieldId} ${name} ${type}`);
  };
  assert.deepEqual(widened(false), ["3 v double", "4 n long"]);
  assert.deepEqual(widened(true), ["4 v double", "5 n long"]);
  const strict = newOwner({ longMeetsDouble: "reject", addColumns: false }, schema);
  const { account } = take(strict, [
    { id: "a", v: 0.5 },
    { id: "a", n: 1 },
    { id: "a", v: 7, _op: "r" },
  ]);
  assert.deepEqual(
    account.errors.map(({ code }) => code),
    ["TYPE_MISMATCH", "UNKNOWN_COLUMN"],
  );
  assert.equal(account.accepted, 1);
});

test("a table with a column of that name takes no such batch", () => {
  const owner = newOwner({}, withColumn(schema, "_Op", "string"));
  assert.throws(() => take(owner, [{ id: "a" }]), { code: "INVALID_REQUEST" });
});

test("rows of next to nothing whose made ids are more than a batch has room for are refused before these are made", () => {
  const owner = newOwner({ idStrategy: "uuid", idPrefix: "p".repeat(64) }, schema);
  const account = new RowAccount(100);
  const target = owner.operationsTarget(account, receivedMicros);
  // As rows 40 MB, as ids 104 bytes each.
  const rows = Math.ceil(limits.batchBytesMax / 104);
  const body = Buffer.from("{}\n".repeat(rows));
  const decoding = openDecode(frameFormats.ndjson, false, body, target);
  while (!decoding.step(body.length + 1));
  assert.equal(account.accepted, rows);
  assert.throws(() => sorted(owner, account), { code: "BODY_TOO_LARGE" });
  assert.equal(take(owner, [{ v: 1 }]).account.accepted, 1);
});
