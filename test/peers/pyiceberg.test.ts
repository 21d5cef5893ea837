/**
 * PyIceberg and DuckDB read what the catalog wrote: rows, filters with the files that they leave out, columns that were
 * added, a long column that became double, an older snapshot, the version hint.
 */
import assert from "node:assert/strict";
import { DuckDBInstance } from "@duckdb/node-api";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { RealDisk } from "../../src/shared/disk/real-disk.js";
import { applyCommit } from "../../src/shared/iceberg/commit-result.js";
import { filesToRewrite } from "../../src/shared/iceberg/commit-files.js";
import { TableCatalog } from "../../src/shared/iceberg/table-catalog.js";
import type { TableState } from "../../src/shared/messages.js";
import { columnTypeTable } from "../../src/shared/schema/column-type.js";
import { initialSchema, withColumn, withDouble, type TableSchema } from "../../src/shared/schema/table-schema.js";
import { LocalStore } from "../../src/shared/store/local-store.js";
import { versionKey } from "../../src/shared/store/store-paths.js";
import { findPython, needPeer } from "../harness/peer.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { seededRandom } from "../harness/seeded-random.js";
import { writeDataFile, type Row } from "./sample-table.js";

const stream = "7d3f0c7e-1111-4222-8333-944445555666";
const dayMicros = 86_400_000_000n;
const firstDay = 20_480n;
/** One file each: enough for manifests to be merged. */
const batches = 12;
const rowsPerBatch = 50;

interface ScanAnswer {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly files: readonly string[];
}

interface Answer {
  readonly uuid: string;
  readonly columns: readonly (readonly [number, string, string, boolean])[];
  readonly spec: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly snapshots: readonly (readonly [string, string])[];
  readonly nameMapping: readonly (readonly [number, readonly string[]])[];
  readonly sortFields: readonly (readonly [number, string])[];
  readonly scans: readonly ScanAnswer[];
}

describe("a table that other engines read", () => {
  let folder: string;
  let store: LocalStore;
  let state: TableState;
  let schema: TableSchema = withColumn(initialSchema, "value", "long");
  schema = withColumn(schema, "Label", "string");
  schema = withColumn(schema, "ok", "boolean");
  schema = withColumn(schema, "seen", "timestamp");
  schema = withColumn(schema, "tags", "json");
  const rows: Row[] = [];
  let longSnapshot: string;
  let longRows: Row[];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "miniodb-peer-"));
    store = new LocalStore({ root: join(folder, "warehouse"), disk: new RealDisk(), sweepTemporary: true });
    const catalog = new TableCatalog(store);
    state = await catalog.createTable({ name: "Events", schema, settings: { sortOrder: ["Label", "timestamp"] } });
    const { identity } = state;
    let sequence = 0;
    for (let batch = 0; batch < batches; batch++) {
      // From the middle on rows have a column more, from the last but one on the long column holds fractions.
      if (batch === batches / 2) schema = withColumn(schema, "timestamp_day", "double");
      const isFraction = batch >= batches - 2;
      if (batch === batches - 2) {
        longSnapshot = state.snapshotId ?? "";
        longRows = [...rows];
        const value = schema.columns.find((column) => column.name === "value");
        schema = withDouble(schema, value?.fieldId ?? 0, true);
      }
      const batchRows = makeRows(batch, { hasExtra: batch >= batches / 2, isFraction });
      const file = await writeDataFile(store, identity, { schema, rows: batchRows });
      const range = { stream, afterSequence: sequence, lastSequence: sequence + rowsPerBatch };
      sequence += rowsPerBatch;
      rows.push(...batchRows);
      const old = filesToRewrite(state, schema);
      if (old.length === 0) {
        state = applyCommit(state, await catalog.commitAppend(identity, { ...range, schema, files: [file] })) ?? state;
        continue;
      }
      const rewritten = [];
      for (let index = 0; index < old.length; index++) {
        const asDouble = rows.slice(index * rowsPerBatch, (index + 1) * rowsPerBatch).map(withDoubleValue);
        rewritten.push(await writeDataFile(store, identity, { schema, rows: asDouble }));
        rows.splice(index * rowsPerBatch, rowsPerBatch, ...asDouble);
      }
      const remove = old.map((oldFile) => oldFile.key);
      const result = await catalog.commitRewrite(identity, {
        remove,
        add: [...rewritten, file],
        schema,
        append: range,
      });
      state = applyCommit(state, result) ?? state;
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  test("loads again as the commits said", async () => {
    const loaded = await new TableCatalog(store).loadTable(state.identity);
    const byKey = (files: TableState["files"]) => files.toSorted((left, right) => (left.key < right.key ? -1 : 1));
    assert.deepEqual({ ...loaded, files: byKey(loaded.files) }, { ...state, files: byKey(state.files) });
    assert.equal(loaded.files.length, batches);
    assert.equal(loaded.positions[stream], batches * rowsPerBatch);
    assert.equal(loaded.schema.columns.find((column) => column.name === "tags")?.type, "json");
  });

  test("PyIceberg reads every row, prunes by partition and by bounds, and travels back", (context) => {
    const python = needPeer(context, findPython("test/peers/pyiceberg-requirements.txt"));
    if (python === undefined) return;
    const answer = ask(python, store.readableUrl(versionKey(state.identity.location, state.version)), [
      {},
      { filter: "timestamp >= '2026-01-29T00:00:00+00:00' and timestamp < '2026-01-30T00:00:00+00:00'" },
      { filter: "Label = 'batch 3'" },
      { filter: "value > 9.25", fields: ["id", "value"] },
      { filter: "timestamp_day is not null" },
      { filter: "ok = true and value is null" },
      { snapshot: longSnapshot },
    ]);
    const [all, day, label, fraction, extra, both, past] = answer.scans as readonly [
      ScanAnswer,
      ScanAnswer,
      ScanAnswer,
      ScanAnswer,
      ScanAnswer,
      ScanAnswer,
      ScanAnswer,
    ];
    assert.equal(answer.uuid, state.identity.uuid);
    assert.deepEqual(
      answer.columns.map(([fieldId, name, , required]) => [fieldId, name, required]),
      schema.columns.map(({ fieldId, name, required }) => [fieldId, name, required]),
    );
    assert.deepEqual(
      answer.columns.map(([, , type]) => type),
      schema.columns.map(({ type }) => columnTypeTable[type].iceberg),
    );
    // "timestamp_day" is a column: the partition field has stepped aside.
    assert.match(answer.spec, /1000: timestamp_day_2: day\(1\)/);
    assert.equal(answer.properties[`miniodb.wal.${stream}`], String(batches * rowsPerBatch));
    assert.deepEqual(
      answer.nameMapping,
      schema.columns.map(({ fieldId, name }) => [fieldId, [name]]),
    );
    assert.deepEqual(answer.sortFields, [
      [4, "asc"],
      [1, "asc"],
    ]);
    assert.equal(answer.snapshots.length, batches);
    assert.deepEqual(answer.snapshots.at(-2)?.[1], "overwrite");

    same(all.rows, rows, "all rows");
    assert.equal(all.files.length, batches);
    const inDay = rows.filter((row) => (row["timestamp"] as bigint) / dayMicros === firstDay + 2n);
    same(day.rows, inDay, "one day");
    assert.equal(day.files.length, inDay.length / rowsPerBatch, "files of other days are not read");
    assert.ok(day.files.every((file) => file.includes("day=2026-01-29")));
    same(
      label.rows,
      rows.filter((row) => row["Label"] === "batch 3"),
      "one label",
    );
    assert.equal(label.files.length, 1, "files of other labels are not read");
    const high = rows.filter((row) => typeof row["value"] === "number" && row["value"] > 9.25);
    same(
      fraction.rows,
      high.map((row) => ({ id: row["id"] ?? null, value: row["value"] ?? null })),
      "two columns",
    );
    same(
      extra.rows,
      rows.filter((row) => (row["timestamp_day"] ?? null) !== null),
      "the added column",
    );
    same(
      both.rows,
      rows.filter((row) => row["ok"] === true && row["value"] === null),
      "two columns in a filter",
    );
    same(past.rows, longRows, "the snapshot from when the column was long");
  });

  test("PyIceberg finds the latest version by the hint", (context) => {
    const python = needPeer(context, findPython("test/peers/pyiceberg-requirements.txt"));
    if (python === undefined) return;
    const answer = ask(python, store.readableUrl(state.identity.location), [{ fields: ["id"] }]);
    assert.equal(answer.scans[0]?.rows.length, rows.length);
  });

  test("DuckDB reads the listed files by field id", async () => {
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const columns = schema.columns.map(
      ({ fieldId, name, type }) =>
        `${fieldId}: {name: '${name}', type: '${columnTypeTable[type].duckdb}', default_value: NULL}`,
    );
    const files = state.files.map((file) => `'${store.readableUrl(file.key)}'`);
    const source = `read_parquet([${files.join(", ")}], schema = MAP {${columns.join(", ")}}, hive_partitioning = false)`;
    const reader = await connection.runAndReadAll(
      `select count(*), sum(value), count(timestamp_day), max("Label"), min(epoch_us("timestamp")) from ${source}`,
    );
    const numbers = rows.map((row) => row["value"]).filter((value) => typeof value === "number");
    const [count, sum, extra, label, first] = reader.getRows()[0] ?? [];
    assert.equal(count, BigInt(rows.length));
    assert.ok(Math.abs(Number(sum) - numbers.reduce((left, right) => left + right, 0)) < 1e-6);
    assert.equal(extra, BigInt(rows.filter((row) => typeof row["timestamp_day"] === "number").length));
    assert.equal(label, "batch 9");
    assert.equal(
      first,
      rows.map((row) => row["timestamp"] as bigint).reduce((left, right) => (left < right ? left : right)),
    );
    connection.closeSync();
    instance.closeSync();
  });
});

/** Rows of one day, four batches a day; the last ones of the range are nulls where a column may have them. */
function makeRows(batch: number, shape: { readonly hasExtra: boolean; readonly isFraction: boolean }): Row[] {
  const random = seededRandom(batch);
  const day = firstDay + BigInt(Math.floor(batch / 4));
  return Array.from({ length: rowsPerBatch }, (_value, index) => {
    const timestamp = day * dayMicros + BigInt(random.integer(86_400)) * 1_000_000n + BigInt(index);
    const long = BigInt(random.integer(2_000)) - 1_000n;
    return {
      timestamp,
      id: index % 10 === 9 ? null : `${batch}-${index}-äöü🙂`,
      value: index % 7 === 0 ? null : shape.isFraction ? Number(long) + 0.5 : long,
      Label: `batch ${batch}`,
      ok: index % 3 === 0 ? null : index % 2 === 0,
      seen: index % 5 === 0 ? null : timestamp - dayMicros * 20_000n,
      tags: index % 4 === 0 ? null : JSON.stringify({ index, text: "a text that is longer than sixteen" }),
      ...(shape.hasExtra ? { timestamp_day: index % 6 === 0 ? null : index / 4 } : {}),
    };
  });
}

function withDoubleValue(row: Row): Row {
  return { ...row, value: typeof row["value"] === "bigint" ? Number(row["value"]) : (row["value"] ?? null) };
}

function ask(python: string, metadata: string, scans: readonly object[]): Answer {
  const script = join(repositoryRoot, "test", "peers", "pyiceberg-read.py");
  const input = JSON.stringify({ metadata, scans });
  const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8", maxBuffer: 2 ** 28 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Answer;
}

/** The same rows in any order; a column that a row lacks is null. Longs and times are compared as text. */
function same(seen: ScanAnswer["rows"], expected: readonly Row[], what: string): void {
  const lines = (list: readonly Readonly<Record<string, unknown>>[]) =>
    list
      .map((row) => {
        const present = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
        return JSON.stringify(
          present.map(([name, value]) => [name, typeof value === "boolean" ? value : String(value)]).toSorted(),
        );
      })
      .toSorted();
  assert.deepEqual(lines(seen), lines(expected), what);
}
