/** Flushes of rows that replace or delete others: what is in the store afterwards, beside merges, repeated, and cut off. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import { liveRowsOf } from "../../../src/shared/iceberg/live-rows.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import type { FlushTask, TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { compactFiles } from "../../../src/workers/persist/compact.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { viewSql } from "../../../src/workers/query/table-view.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { MutationLog, type MutationRow } from "./mutation-records.js";
import { runSql } from "./read-back.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const stream = "11111111-1111-4111-8111-111111111111";
const ids = Array.from({ length: 8 }, (_, index) => `id-${index}`);
const dayMs = Date.UTC(2026, 0, 1);

const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;
const { catalog } = context;
let tables = 0;

async function newTable(): Promise<TableState> {
  return catalog.createTable({ name: `t${++tables}`, settings: {}, schema: initialSchema });
}

function taskOf(log: MutationLog, state: TableState, lastSequence = log.lastSequence): FlushTask {
  const { flushedSequence: afterSequence, schema } = log;
  const slice = log.slice(afterSequence, lastSequence);
  return { kind: "flush", identity: state.identity, stream, afterSequence, lastSequence, schema, settings: {}, slice };
}

function inOrder(state: TableState): TableState {
  return { ...state, files: state.files.toSorted((one, other) => (one.key < other.key ? -1 : 1)) };
}

async function flush(log: MutationLog, state: TableState): Promise<TableState> {
  const commit = await flushRows(context, taskOf(log, state));
  log.flushedSequence = log.lastSequence;
  const next = applyCommit(state, commit);
  const loaded = await catalog.loadTable(state.identity);
  if (next !== null) assert.deepEqual(inOrder(next), inOrder(loaded), "the delta leads to what the store holds");
  return loaded;
}

/** What a reader of the store sees. */
async function rowsOf({ files, schema }: TableState): Promise<(string | null)[]> {
  const path = (key: string): string => context.store.readableUrl(key);
  const deletes = files.flatMap(({ key, deletes: deleteFiles }) =>
    deleteFiles === undefined ? [] : [{ file: path(key), deleteFiles: deleteFiles.map((file) => path(file.key)) }],
  );
  const committedFiles = files.map(({ key }) => path(key));
  const view = viewSql({ name: "t", schema, committedFiles, hotFiles: [], deletes });
  return (await runSql(`SELECT id, n FROM (${view})`)).map((row) => row.map(String).join(" ")).toSorted();
}

const expectedOf = (log: MutationLog): string[] => log.living.map(({ id, n }) => `${id} ${n}`).toSorted();
const row = (id: string, n: number): MutationRow => ({ id, n, dayMs: dayMs + (n % 2) * 86_400_000 });

describe(`flushes that replace (MINIODB_TEST_SEED=${seed})`, () => {
  test("random logs: the store has the rows that live, after each flush and beside merges", async () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 3; round++) {
      let state = await newTable();
      const log = new MutationLog();
      for (let step = 0; step < 8; step++) {
        for (let count = 1 + random.integer(4); count > 0; count--) log.appendRandom(random, ids);
        state = await flush(log, state);
        assert.deepEqual(await rowsOf(state), expectedOf(log), `round ${round} step ${step}`);
        const { files, schema, identity } = state;
        const ofDay = files.filter(({ day }) => day === files[0]?.day);
        if (ofDay.length > 1 && random.integer(2) === 0) {
          await compactFiles(context, { kind: "compact", identity, schema, settings: {}, files: ofDay });
          state = await catalog.loadTable(identity);
          assert.deepEqual(await rowsOf(state), expectedOf(log), `round ${round} step ${step}, merged`);
        }
      }
    }
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("rows and their replacement are one commit; tombstones alone are one too", async () => {
    const state = await newTable();
    const log = new MutationLog();
    log.append(recordKinds.rows, [row("a", 1), row("b", 2), row("c", 3)]);
    const first = await flush(log, state);
    log.append(recordKinds.replacing, [row("a", 4)]);
    const second = await flush(log, first);
    assert.equal(second.version, first.version + 1);
    assert.deepEqual(await rowsOf(second), ["a 4", "b 2", "c 3"]);
    log.append(recordKinds.tombstones, [row("b", 0)]);
    const third = await flush(log, second);
    assert.equal(third.version, second.version + 1);
    assert.deepEqual(await rowsOf(third), ["a 4", "c 3"]);
    const operations = (await catalog.listSnapshots(state.identity)).map(({ operation }) => operation);
    assert.deepEqual(operations, ["delete", "overwrite", "append"]);
    // Nobody has the id: the position moves on, no file is written.
    log.append(recordKinds.tombstones, [row("nobody", 0)]);
    const fourth = await flush(log, third);
    assert.deepEqual([fourth.snapshotId, fourth.positions[stream]], [third.snapshotId, 6]);
    log.append(recordKinds.tombstones, [row("a", 0), row("c", 0)]);
    const fifth = await flush(log, fourth);
    assert.equal(fifth.files.length, 0, "files without a row left are taken out");
  });

  test("a flush whose commit was made is not made twice, though its rows are in the store", async () => {
    const state = await newTable();
    const log = new MutationLog();
    log.append(recordKinds.rows, [row("a", 1)]);
    const first = await flush(log, state);
    log.append(recordKinds.replacing, [row("a", 2), row("b", 3)]);
    const task = taskOf(log, first);
    assert.equal((await flushRows(context, task)).outcome, "committed");
    const keys = (await warehouse.dataKeys()).length;
    assert.equal((await flushRows(context, task)).outcome, "already-committed");
    assert.equal((await warehouse.dataKeys()).length, keys, "what the repetition wrote is removed");
    assert.deepEqual(await rowsOf(await catalog.loadTable(state.identity)), ["a 2", "b 3"]);
  });

  test("a merge that is faster has the rows looked for anew", async () => {
    const state = await newTable();
    const log = new MutationLog();
    for (const n of [2, 4, 6]) {
      log.append(recordKinds.rows, [row(`x${n}`, n), row(`y${n}`, n)]);
      await flush(log, state);
    }
    log.append(recordKinds.tombstones, [row("x2", 0), row("y6", 0)]);
    const { files, schema, identity } = await catalog.loadTable(state.identity);
    let merged = false;
    // In the moment in which the flush has found its rows, and is about to commit.
    const commitAppend = catalog.commitAppend.bind(catalog);
    const merging = async (): Promise<void> => {
      if (merged) return;
      merged = true;
      await compactFiles(context, { kind: "compact", identity, schema, settings: {}, files });
    };
    const overtaken = Object.create(catalog, {
      commitAppend: {
        value: async (...request: Parameters<typeof commitAppend>) => {
          await merging();
          return commitAppend(...request);
        },
      },
    }) as typeof catalog;
    const bound = new Proxy(overtaken, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function" || name === "commitAppend") return value;
        return (value as (...values: unknown[]) => unknown).bind(catalog);
      },
    });
    await flushRows({ ...context, catalog: bound }, taskOf(log, state));
    assert.ok(merged);
    const after = await catalog.loadTable(identity);
    assert.deepEqual(await rowsOf(after), ["x4 4", "x6 6", "y2 2", "y4 4"]);
    assert.equal(
      after.files.reduce((sum, file) => sum + liveRowsOf(file), 0),
      4,
    );
  });
});
