import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { MiniodbError } from "../../../src/shared/errors.js";
import { applyCommit, type CommitResult } from "../../../src/shared/iceberg/commit-result.js";
import { deletedRowsOf, deleteKeysOf, liveRowsOf } from "../../../src/shared/iceberg/live-rows.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import type { TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { compactFiles } from "../../../src/workers/persist/compact.js";
import { deleteRows } from "../../../src/workers/persist/delete-rows.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import type { PersistContext } from "../../../src/workers/persist/persist-context.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { deleteWhere, findRows, liveRows } from "./delete-bench.js";
import { plainRow, type PlainRow } from "./read-back.js";
import { TableModel, type ModelRow } from "./table-model.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const stream = "33333333-3333-4333-8333-333333333333";
const warehouse = openTestWarehouse();
after(warehouse.remove);
let tables = 0;

/** Conditions, and what they mean to the model. */
const conditions: readonly (readonly [string, (row: ModelRow) => boolean])[] = [
  ["b", ({ values }) => values.get("b") === true],
  ["b IS NULL", ({ values }) => (values.get("b") ?? null) === null],
  ["s = 'a'", ({ values }) => values.get("s") === "a"],
  ['epoch_us("timestamp") % 5 = 2', ({ values }) => (values.get("timestamp") as bigint) % 5n === 2n],
  ["file_row_number > 2", ({ values }) => Number(values.get("file_row_number") ?? 0) > 2],
  ["1 = 1", () => true],
  ["b AND NOT b", () => false],
];

/** A table, and beside it the plain list of its rows. */
class Life {
  readonly model: TableModel;
  rows: ModelRow[] = [];
  state: TableState;
  readonly #warehouse: TestWarehouse;
  readonly #history: { readonly snapshotId: string; readonly rows: ModelRow[] }[] = [];
  #schemaVersion = 0;

  private constructor(place: TestWarehouse, model: TableModel, state: TableState) {
    this.#warehouse = place;
    this.model = model;
    this.state = state;
  }

  static async begin(place: TestWarehouse, modelSeed: number): Promise<Life> {
    const name = `deletes_${++tables}`;
    const model = new TableModel(seededRandom(modelSeed));
    model.addColumn("b", "boolean");
    model.addColumn("s", "string");
    model.addColumn("v", "long");
    // A name that the scan's own column has, too.
    model.addColumn("file_row_number", "long");
    const state = await place.context.catalog.createTable({ name, schema: initialSchema, settings: {} });
    return new Life(place, model, state);
  }

  get #context(): PersistContext {
    return this.#warehouse.context;
  }

  async insert(rows: number): Promise<void> {
    const afterSequence = this.model.lastSequence;
    this.model.appendRecord(rows, { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.3 });
    const { schema, lastSequence } = this.model;
    this.model.beginFlush();
    const slice = this.model.slice(afterSequence, lastSequence);
    const { identity, settings } = this.state;
    const task = { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings, slice } as const;
    this.#take(await flushRows(this.#context, task));
    this.model.committed(this.state.schema);
    this.rows = [...this.rows, ...this.model.rowsIn(afterSequence, lastSequence)];
  }

  async remove([where, meets]: (typeof conditions)[number]): Promise<void> {
    // The columns come with the first rows.
    if (this.state.schema.columns.length === initialSchema.columns.length) return;
    const before = this.state;
    const { rows, filesDropped, commit } = await deleteWhere(this.#warehouse, this.state, where);
    const gone = this.rows.filter(meets);
    assert.equal(rows, gone.length, where);
    this.rows = this.rows.filter((row) => !meets(row));
    if (commit === null) return assert.equal(rows, 0);
    this.#take(commit);
    assert.equal(before.files.length - this.state.files.length, filesDropped);
    assert.ok(this.state.files.every((file) => liveRowsOf(file) > 0 && (file.deletes?.length ?? 0) <= 1));
  }

  async compact(): Promise<void> {
    const { identity, settings } = this.state;
    for (const day of new Set(this.state.files.map((file) => file.day))) {
      const files = this.state.files.filter((file) => file.day === day);
      const { schema } = this.state;
      this.#take(await compactFiles(this.#context, { kind: "compact", identity, schema, settings, files }));
    }
    assert.ok(this.state.files.every((file) => file.deletes === undefined && file.rows > 0));
  }

  /** Old snapshots go, and with them what only they named. */
  async expire(): Promise<void> {
    const { catalog } = this.#context;
    this.#take(await catalog.expireSnapshots(this.state.identity, { keep: 1, olderThanMs: -1 }));
    this.#history.length = 0;
    const report = await catalog.collectGarbage({ graceMs: -60_000 });
    assert.deepEqual(report.failed, []);
    const keys = (await this.#warehouse.dataKeys()).filter((key) => key.startsWith(this.state.identity.location));
    const named = [...this.state.files.map((file) => file.key), ...deleteKeysOf(this.state.files)];
    assert.deepEqual(keys.toSorted(), named.toSorted());
  }

  async check(): Promise<void> {
    // As a process that knows nothing yet.
    const fresh = await new TableCatalog(this.#context.store).loadTable(this.state.identity);
    const byKey = (state: TableState) => state.files.toSorted((left, right) => (left.key < right.key ? -1 : 1));
    assert.deepEqual(byKey(fresh), byKey(this.state));
    same(
      await liveRows(this.#warehouse, fresh),
      this.rows.map((row) => plainRow(row, fresh.schema)),
    );
    const counted = fresh.files.reduce((sum, file) => sum + liveRowsOf(file), 0);
    assert.equal(counted, this.rows.length);
    const [newest] = await this.#context.catalog.listSnapshots(this.state.identity);
    assert.equal(newest?.rows ?? 0, this.rows.length);
  }

  /** To a state that the life had before. */
  async rollback(choice: number): Promise<void> {
    const past = this.#history[choice % Math.max(1, this.#history.length)];
    if (past === undefined) return;
    const at = { kind: "snapshot-id", snapshotId: past.snapshotId } as const;
    const { catalog } = this.#context;
    this.#take(await catalog.rollback(this.state.identity, { at, allowMissingColumns: false }));
    this.rows = past.rows;
  }

  async retain(beforeDay: number): Promise<void> {
    this.#take(await this.#context.catalog.commitRetention(this.state.identity, { beforeDay }));
    const micros = BigInt(beforeDay) * 86_400_000_000n;
    this.rows = this.rows.filter(({ values }) => (values.get("timestamp") as bigint) >= micros);
  }

  /** After each step: what can be gone back to. A column that has another type since would be missing. */
  note(): void {
    const { snapshotId, schema } = this.state;
    if (this.#schemaVersion !== schema.version) this.#history.length = 0;
    this.#schemaVersion = schema.version;
    if (snapshotId !== null) this.#history.push({ snapshotId, rows: this.rows });
  }

  #take(commit: CommitResult): void {
    const next = applyCommit(this.state, commit);
    assert.ok(next !== null, "nobody else commits");
    this.state = next;
  }
}

function same(seen: readonly PlainRow[], expected: readonly PlainRow[]): void {
  const lines = (rows: readonly PlainRow[]) => rows.map((row) => row.map(String).join("|")).toSorted();
  assert.deepEqual(lines(seen), lines(expected));
}

const kinds = ["insert", "remove", "compact", "expire", "widen", "rollback", "retain"] as const;

type Step = readonly [(typeof kinds)[number], number];

async function perform(life: Life, [kind, size]: Step): Promise<void> {
  if (kind === "insert") await life.insert(1 + size);
  else if (kind === "remove") await life.remove(conditions[size % conditions.length] ?? ["1 = 0", () => false]);
  else if (kind === "compact") await life.compact();
  else if (kind === "expire") await life.expire();
  else if (kind === "rollback") await life.rollback(size);
  else if (kind === "retain") await life.retain(20_000 + (size % 2));
  else if (life.model.typeOf("v") === "long") life.model.widen("v");
  life.note();
}

describe(`deletes (MINIODB_TEST_SEED=${seed})`, () => {
  test("random lives agree with a plain list", async () => {
    const kind = fc.constantFrom("insert", "remove", "remove", ...kinds, "rollback");
    const step = fc.tuple(kind, fc.nat({ max: 40 })) as fc.Arbitrary<Step>;
    const numRuns = Number(process.env["MINIODB_TEST_DELETE_LIVES"] ?? 12);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 3, maxLength: 12 }), async (modelSeed, steps) => {
        const life = await Life.begin(warehouse, modelSeed);
        for (const each of steps) await perform(life, each);
        await life.check();
      }),
      { seed, numRuns, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false },
    );
  });

  test("one delete file for each data file, none for a file without a row left, and nothing for no row", async () => {
    const life = await Life.begin(warehouse, seed);
    for (let round = 0; round < 3; round++) await life.insert(60);
    assert.equal(life.state.files.length, 6);
    await life.remove(conditions[0] ?? assert.fail());
    assert.equal(life.state.files.filter((file) => file.deletes !== undefined).length, 6);
    const first = life.state.files.map(deletedRowsOf);
    await life.remove(conditions[1] ?? assert.fail());
    assert.ok(life.state.files.every((file, index) => deletedRowsOf(file) > (first[index] ?? 0)));
    const version = life.state.version;
    await life.remove(conditions[0] ?? assert.fail());
    assert.equal(life.state.version, version, "what is deleted is not found again");
    await life.check();
    await life.remove(["1 = 1", () => true]);
    assert.deepEqual(life.state.files, []);
    await life.check();
  });

  test("a merge that was planned before a delete fails, and a delete that was planned before a merge", async () => {
    const life = await Life.begin(warehouse, seed);
    for (let round = 0; round < 2; round++) await life.insert(50);
    const { context } = warehouse;
    const { identity, schema, settings } = life.state;
    const stale = life.state;
    const files = stale.files.filter((file) => file.day === 20_000);
    await life.remove(conditions[0] ?? assert.fail());
    const merging = compactFiles(context, { kind: "compact", identity, schema, settings, files });
    await assert.rejects(merging, (error) => error instanceof MiniodbError && error.code === "COMMIT_CONFLICT");
    // A second delete by what was known before the first.
    const late = deleteWhere(warehouse, stale, "b IS NULL");
    await assert.rejects(late, (error) => error instanceof MiniodbError && error.code === "COMMIT_CONFLICT");
    await findRows(warehouse, life, "b IS NULL", async (searched, path) => {
      await life.compact();
      const task = { kind: "delete-rows", identity, files: searched } as const;
      const found = { kind: "bytes", bytes: readFileSync(path) } as const;
      const gone = deleteRows(context, { ...task, found });
      await assert.rejects(gone, (error) => error instanceof MiniodbError && error.code === "COMMIT_CONFLICT");
    });
    await life.check();
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("merged files say until when their rows came, so that later rows are told from them", async () => {
    const life = await Life.begin(warehouse, seed);
    for (let round = 0; round < 3; round++) await life.insert(20);
    const { catalog } = warehouse.context;
    const { sequenceNumber } = await catalog.loadPastRows(life.state.identity, null);
    const before = life.rows.length;
    await life.compact();
    await life.insert(30);
    const past = await catalog.loadPastRows(life.state.identity, sequenceNumber);
    assert.equal(
      past.state.files.reduce((sum, file) => sum + liveRowsOf(file), 0),
      before,
    );
    assert.ok(past.sequenceNumber > sequenceNumber);
    // Merged with younger rows, a file is young.
    await life.compact();
    assert.deepEqual((await catalog.loadPastRows(life.state.identity, sequenceNumber)).state.files, []);
  });
});
