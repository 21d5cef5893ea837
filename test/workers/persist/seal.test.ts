import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { columnTypes } from "../../../src/shared/schema/column-type.js";
import { sealRows } from "../../../src/workers/persist/seal.js";
import { warmUp } from "../../../src/workers/persist/warm-up.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { MutationLog } from "./mutation-records.js";
import { plainRow, readBack, runSql } from "./read-back.js";
import { TableModel } from "./table-model.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const folder = mkdtempSync(join(tmpdir(), "miniodb-seal-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const shape = { days: 3, firstDay: 20_000, isAscending: false, nullShare: 0.2 };
let files = 0;

async function seal(model: TableModel, afterSequence: number, lastSequence: number) {
  const path = join(folder, `${++files}.parquet`);
  const slice = model.slice(afterSequence, lastSequence);
  const result = await sealRows({ kind: "seal", slice, schema: model.schema, afterSequence, lastSequence, path });
  return { path, result };
}

describe(`seal (MINIODB_TEST_SEED=${seed})`, () => {
  test("rows of all types come back in the order of their sequences", async () => {
    const model = new TableModel(seededRandom(seed));
    for (const type of columnTypes) model.addColumn(`a ${type} "quoted"`, type);
    for (let record = 0; record < 20; record++) model.appendRecord(1 + record * 7, shape);
    const { path, result } = await seal(model, 0, model.lastSequence);
    assert.deepEqual(
      await readBack([path], model.schema),
      model.rows.map((row) => plainRow(row, model.schema)),
    );
    const { rows, bytes, firstSequence, lastSequence } = result;
    assert.deepEqual(
      { rows, firstSequence, lastSequence },
      { rows: model.rows.length, firstSequence: 1, lastSequence: rows },
    );
    assert.equal(bytes, statSync(path).size);
  });

  test("every cut of records at both ends takes exactly the rows between", async () => {
    const model = new TableModel(seededRandom(seed + 1));
    for (const type of columnTypes) model.addColumn(`a ${type}`, type);
    for (const rows of [1, 9, 2, 8]) model.appendRecord(rows, shape);
    for (const from of [0, 1, 3, 8, 9, 10, 11, 12, 18, 19]) {
      for (const to of [from + 1, from + 5, 20].filter((last) => last <= 20)) {
        const { path, result } = await seal(model, from, to);
        const expected = model.rowsIn(from, to).map((row) => plainRow(row, model.schema));
        assert.deepEqual(await readBack([path], model.schema), expected, `(${from}, ${to}]`);
        assert.deepEqual([result.firstSequence, result.lastSequence, result.rows], [from + 1, to, to - from]);
      }
    }
  });

  test("a column that became double is double in all rows, whether its field id changed or not", async () => {
    for (const isCommitted of [false, true]) {
      const model = new TableModel(seededRandom(seed + 2));
      model.addColumn("v", "long");
      model.appendRecord(40, shape);
      if (isCommitted) model.beginFlush();
      model.widen("v");
      model.appendRecord(40, shape);
      const { path } = await seal(model, 0, 80);
      assert.equal(model.schema.columns[2]?.replacesFieldId, isCommitted ? 3 : undefined);
      assert.deepEqual(
        await readBack([path], model.schema),
        model.rows.map((row) => plainRow(row, model.schema)),
      );
    }
  });

  test("sequences that damage took are no rows, but are covered", async () => {
    const model = new TableModel(seededRandom(seed + 3));
    model.appendRecord(5, shape);
    model.skip(10);
    model.appendRecord(5, shape);
    const { path, result } = await seal(model, 0, 20);
    assert.deepEqual(result, {
      kind: "sealed",
      rows: 10,
      bytes: statSync(path).size,
      firstSequence: 1,
      lastSequence: 20,
      replaced: null,
    });
  });

  test("rows that are replaced or deleted within the range are left out, and the ids go beside the file", async () => {
    const random = seededRandom(seed + 6);
    for (let round = 0; round < 20; round++) {
      const log = new MutationLog();
      for (let count = 1 + random.integer(5); count > 0; count--) log.appendRandom(random, ["a", "b", "c"]);
      const { schema, lastSequence } = log;
      const path = join(folder, `${++files}.parquet`);
      const task = { kind: "seal", slice: log.slice(0, lastSequence), schema, afterSequence: 0, lastSequence } as const;
      if (log.living.length === 0 && log.lastSequence === 0) continue;
      const { rows, replaced } = await sealRows({ ...task, path });
      const where = `MINIODB_TEST_SEED=${seed} round ${round}`;
      assert.equal(rows, log.living.length, where);
      assert.equal(existsSync(path), rows > 0, where);
      // A column without a value is in no file.
      const idColumn = log.living.some(({ id }) => id !== null) ? "id" : "NULL AS id";
      const seen = rows === 0 ? [] : await runSql(`SELECT ${idColumn}, n FROM read_parquet('${path}')`);
      assert.deepEqual(
        seen.map(([id, n]) => `${String(id)} ${String(n)}`),
        log.living.map(({ id, n }) => `${id} ${n}`),
        where,
      );
      if (replaced === null) continue;
      const ids = (await runSql(`SELECT id FROM read_parquet('${replaced.path}') ORDER BY id`)).map(([id]) => id);
      assert.deepEqual([ids.length, ids[0], ids.at(-1)], [replaced.count, replaced.lower, replaced.upper], where);
      assert.equal(replaced.bytes, statSync(replaced.path).size);
      // For live queries: all that was accepted.
      const whole = await sealRows({ ...task, path: join(folder, `${++files}.parquet`), withReplaced: true }).catch(
        () => null,
      );
      assert.ok(whole === null || (whole.rows >= rows && whole.replaced === null), where);
    }
  });

  test("the name appears with the whole file; a file that a crash left half is no obstacle", async () => {
    const model = new TableModel(seededRandom(seed + 4));
    model.appendRecord(5, shape);
    const { path } = await seal(model, 0, 5);
    const task = {
      kind: "seal",
      slice: model.slice(0, 5),
      schema: model.schema,
      afterSequence: 0,
      lastSequence: 5,
    } as const;
    await sealRows({ ...task, path });
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith(".tmp")),
      [],
    );
    await assert.rejects(sealRows({ ...task, path: join(folder, "missing", "x.parquet") }), /ENOENT/);
  });

  test("what fails leaves nothing, neither of the rows nor of the ids beside them", async () => {
    const log = new MutationLog();
    const dayMs = Date.UTC(2026, 0, 1);
    log.append(recordKinds.rows, [{ id: "a", n: 1, dayMs }]);
    log.append(recordKinds.replacing, [{ id: "a", n: 2, dayMs }]);
    const own = join(folder, "failing");
    const path = join(own, "x.parquet");
    // No file takes the name of a folder: the ids are written by then, and the rows have a name of their own.
    mkdirSync(path, { recursive: true });
    const { schema, lastSequence } = log;
    const task = {
      kind: "seal",
      slice: log.slice(0, lastSequence),
      schema,
      afterSequence: 0,
      lastSequence,
      path,
    } as const;
    await assert.rejects(sealRows(task), /EISDIR|ENOTEMPTY|ENOTDIR/);
    assert.deepEqual(readdirSync(own), ["x.parquet"]);
    rmSync(path, { recursive: true });
    assert.equal((await sealRows(task)).rows, 1);
    assert.deepEqual(readdirSync(own).toSorted(), ["x.parquet", "x.parquet.ids"]);
  });

  test("more rows than one chunk and one row group hold", async () => {
    const model = new TableModel(seededRandom(seed + 5));
    model.addColumn("v", "double");
    for (let record = 0; record < 26; record++) model.appendRecord(5_000, { ...shape, nullShare: 0.01 });
    const { path } = await seal(model, 7, 130_000);
    const expected = model.rowsIn(7, 130_000).map((row) => plainRow(row, model.schema).join());
    const seen = (await readBack([path], model.schema)).map((row) => row.join());
    assert.equal(seen.length, expected.length);
    assert.equal(
      expected.findIndex((row, index) => row !== seen[index]),
      -1,
    );
  });

  test("a text larger than a chunk, among small ones", async () => {
    const model = new TableModel(seededRandom(seed + 6));
    model.addColumn("text", "string");
    for (let record = 0; record < 3; record++) {
      model.appendRecord(100, shape);
      model.appendValues("text", ["é".repeat(4_000_000)]);
    }
    const { path } = await seal(model, 0, model.lastSequence);
    assert.deepEqual(
      await readBack([path], model.schema),
      model.rows.map((row) => plainRow(row, model.schema)),
    );
  });

  test("warming up leaves no file", async () => {
    const empty = join(folder, "warm");
    await warmUp(empty);
    assert.deepEqual(readdirSync(empty), []);
  });
});
