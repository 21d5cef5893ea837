/** PyIceberg sees the rows that we see: with position deletes, after a second delete in the same files, and in old snapshots. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { applyCommit } from "../../src/shared/iceberg/commit-result.js";
import { deletedRowsOf } from "../../src/shared/iceberg/live-rows.js";
import type { TableState } from "../../src/shared/messages.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import { versionKey } from "../../src/shared/store/store-paths.js";
import { compactFiles } from "../../src/workers/persist/compact.js";
import { flushRows } from "../../src/workers/persist/flush.js";
import { findPython, needPeer } from "../harness/peer.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { seededRandom } from "../harness/seeded-random.js";
import { deleteWhere, liveRows } from "../workers/persist/delete-bench.js";
import { MutationLog } from "../workers/persist/mutation-records.js";
import { TableModel } from "../workers/persist/table-model.js";
import { openTestWarehouse } from "../workers/persist/test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;
const ownStream = "22222222-2222-4222-8222-222222222222";
const random = seededRandom(seed);

interface Scan {
  readonly rows: readonly { readonly timestamp: string; readonly s: string | null }[];
}

test(`PyIceberg agrees on deleted rows (MINIODB_TEST_SEED=${seed})`, async (testContext) => {
  const python = needPeer(testContext, findPython("test/peers/pyiceberg-requirements.txt"));
  if (python === undefined) return;
  let state = await tableOfRows();
  const seen: { readonly snapshot: string; readonly lines: readonly string[] }[] = [];
  const note = async (): Promise<void> => {
    seen.push({ snapshot: state.snapshotId ?? "", lines: await linesOf(state) });
  };
  await note();
  for (const where of [
    "s LIKE 'device%'",
    'epoch_us("timestamp") % 3 = 0',
    `"timestamp" < '2024-10-05'::TIMESTAMPTZ`,
  ]) {
    const { commit } = await deleteWhere(warehouse, state, where);
    assert.ok(commit !== null, where);
    state = applyCommit(state, commit) ?? assert.fail("nobody else commits");
    await note();
  }
  assert.ok(state.files.some((file) => deletedRowsOf(file) > 0));
  // Rows and what takes their places, in one snapshot.
  const log = new MutationLog();
  const flushOwn = async (): Promise<void> => {
    const range = { stream: ownStream, afterSequence: log.flushedSequence, lastSequence: log.lastSequence };
    const slice = log.slice(range.afterSequence, range.lastSequence);
    await flushRows(context, {
      kind: "flush",
      identity: ownIdentity,
      ...range,
      schema: log.schema,
      settings: {},
      slice,
    });
    log.flushedSequence = log.lastSequence;
  };
  const ownIdentity = (await context.catalog.createTable({ name: "own", settings: {}, schema: initialSchema }))
    .identity;
  const own: { readonly snapshot: string; readonly ids: readonly string[] }[] = [];
  for (let step = 0; step < 4; step++) {
    for (let count = 0; count < 5; count++) log.appendRandom(random, ["a", "b", "c", "d", "e"]);
    await flushOwn();
    const { snapshotId } = await context.catalog.loadTable(ownIdentity);
    const ids = log.living.map(({ id }) => id ?? "null").toSorted();
    // A table that never had a row that lives has no snapshot.
    if (snapshotId === null) assert.deepEqual(ids, []);
    else own.push({ snapshot: snapshotId, ids });
  }
  const ownVersion = (await context.catalog.loadTable(ownIdentity)).version;
  const ownPath = context.store.readableUrl(versionKey(ownIdentity.location, ownVersion));
  const looks = ask(
    python,
    ownPath,
    own.map(({ snapshot }) => ({ snapshot, fields: ["timestamp", "id"] })),
  );
  for (const [index, { ids }] of own.entries()) {
    const theirs = (looks[index]?.rows ?? []) as readonly { readonly id?: string | null }[];
    assert.deepEqual(theirs.map(({ id }) => id ?? "null").toSorted(), ids, `own snapshot ${index}`);
  }
  const { identity, schema, settings } = state;
  const files = state.files.filter((file) => file.day === state.files[0]?.day);
  const merged = await compactFiles(context, { kind: "compact", identity, schema, settings, files });
  state = applyCommit(state, merged) ?? assert.fail("nobody else commits");
  await note();

  const scans = seen.map(({ snapshot }) => ({ snapshot, fields: ["timestamp", "s"] }));
  const answer = ask(python, context.store.readableUrl(versionKey(identity.location, state.version)), scans);
  for (const [index, { lines }] of seen.entries()) {
    const theirs = answer[index]?.rows.map(({ timestamp, s }) => `${timestamp}|${s ?? "null"}`).toSorted();
    assert.deepEqual(theirs, lines, `snapshot ${index}`);
  }
});

async function tableOfRows(): Promise<TableState> {
  const model = new TableModel(seededRandom(seed));
  model.addColumn("s", "string");
  const { identity } = await context.catalog.createTable({ name: "deletes", schema: initialSchema, settings: {} });
  for (let round = 0; round < 4; round++) {
    const afterSequence = model.lastSequence;
    model.appendRecord(400, { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.2 });
    const { schema, lastSequence } = model;
    const slice = model.slice(afterSequence, lastSequence);
    const stream = "33333333-3333-4333-8333-333333333333";
    const range = { stream, afterSequence, lastSequence };
    await flushRows(context, { kind: "flush", identity, ...range, schema, settings: {}, slice });
  }
  return context.catalog.loadTable(identity);
}

/** Timestamp and text of each row. */
async function linesOf(state: TableState): Promise<string[]> {
  const place = state.schema.columns.findIndex(({ name }) => name === "s");
  return (await liveRows(warehouse, state)).map((row) => `${row[0]}|${row[place] ?? "null"}`).toSorted();
}

function ask(python: string, metadata: string, scans: readonly object[]): readonly Scan[] {
  const script = join(repositoryRoot, "test", "peers", "pyiceberg-read.py");
  const input = JSON.stringify({ metadata, scans });
  const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8", maxBuffer: 2 ** 28 });
  assert.equal(status, 0, stderr);
  return (JSON.parse(stdout) as { readonly scans: readonly Scan[] }).scans;
}
