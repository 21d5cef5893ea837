/** Backups on a store that fails, and what is swept of those that were broken off. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import type { BackupTask, BackupResult, RestoreCandidate } from "../../../src/shared/backup-messages.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { sealingKey } from "../../../src/shared/formats/sealed-object-v1.js";
import { catalogContext } from "../../../src/shared/iceberg/catalog-context.js";
import type { PersistResult, TableIdentity } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { backupFilesPrefix, backupId, backupTag } from "../../../src/shared/store/store-paths.js";
import type { BackupParts } from "../../../src/workers/persist/back-up.js";
import { BackupCopier } from "../../../src/workers/persist/backup-copier.js";
import { BackupPlaces } from "../../../src/workers/persist/backup-places.js";
import { performBackupTask } from "../../../src/workers/persist/backup-tasks.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { Throttle } from "../../../src/workers/persist/throttle.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { deleteWhere, liveRows } from "./delete-bench.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context: persist, store } = warehouse;
const target = new LocalStore({ root: join(warehouse.folder, "target"), disk: new RealDisk(), sweepTemporary: false });
const parts = partsOf();
const dayMs = 86_400_000;

function partsOf(): BackupParts {
  const key = sealingKey(Buffer.alloc(32, 1));
  const options = { store: null, key, warehouse: "here", copiesMax: 2, rateBytesMax: 0 };
  const throttle = new Throttle(0, { sleep: persist.sleep, nowMs: persist.nowMs });
  return {
    context: catalogContext(store, { sleep: () => Promise.resolve() }),
    places: new BackupPlaces(store, target, options),
    copier: new BackupCopier({ persist, throttle, key }),
  };
}

async function perform<Kind extends (BackupResult | PersistResult)["kind"]>(task: BackupTask, kind: Kind) {
  const result = await performBackupTask(parts, persist, task);
  assert.equal(result.kind, kind);
  return result as Extract<PersistResult, { kind: Kind }>;
}

/** Four files of two days, some of whose rows are deleted. */
async function makeTable(name: string): Promise<TableIdentity> {
  const model = new TableModel(seededRandom(seed));
  model.addColumn("s", "string");
  const { identity } = await persist.catalog.createTable({
    name,
    schema: initialSchema,
    settings: { retentionDays: 7 },
  });
  for (let round = 0; round < 2; round++) {
    const afterSequence = model.lastSequence;
    model.appendRecord(200, { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.2 });
    const { schema, lastSequence } = model;
    const slice = model.slice(afterSequence, lastSequence);
    const range = { stream: "33333333-3333-4333-8333-333333333333", afterSequence, lastSequence };
    await flushRows(persist, { kind: "flush", identity, ...range, schema, settings: {}, slice });
  }
  const state = await persist.catalog.loadTable(identity);
  await deleteWhere(warehouse, state, `epoch_us("timestamp") % 3 = 0`);
  return identity;
}

async function linesOf(identity: TableIdentity): Promise<readonly string[]> {
  return (await liveRows(warehouse, await persist.catalog.loadTable(identity))).map((row) => row.join("|")).toSorted();
}

async function copies(): Promise<number> {
  let count = 0;
  for await (const _entry of target.list(backupFilesPrefix)) count++;
  return count;
}

function backUpTask(
  identity: TableIdentity,
  snapshotId: string | null,
  backup: "full" | "pointers",
): BackupTask & { id: string } {
  const timeMs = Date.now();
  const id = backupId(
    timeMs,
    seededRandom(seed + timeMs)
      .integer(2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  );
  return { kind: "back-up", id, backup, timeMs, nodeId: "n", tables: [{ identity, snapshotId }] };
}

/** Until it goes well; what fails says that the store did. */
async function despiteFaults<Result>(work: () => Promise<Result>): Promise<Result> {
  const random = seededRandom(seed);
  let share = 0.2;
  try {
    for (;;) {
      store.plan = () => (random.real() < share ? { kind: random.real() < 0.5 ? "before" : "after" } : undefined);
      try {
        return await work();
      } catch (error) {
        assert.ok(error instanceof MiniodbError, String(error));
        assert.ok(["STORE_UNAVAILABLE", "COMMIT_CONFLICT"].includes(error.code), String(error));
        share *= 0.8;
      }
    }
  } finally {
    store.plan = () => undefined;
  }
}

test(`a full backup and its restore on a store that fails (MINIODB_TEST_SEED=${seed})`, async () => {
  const identity = await makeTable("faults");
  const { snapshotId } = await persist.catalog.loadTable(identity);
  const task = backUpTask(identity, snapshotId, "full");
  const { report } = await despiteFaults(() => perform(task, "backed-up"));
  assert.equal(report.rows, (await linesOf(identity)).length);
  assert.deepEqual(
    (await perform({ kind: "verify-backup", id: report.id, isDeep: true }, "backup-verified")).check.problems,
    [],
  );
  const planned = await despiteFaults(() =>
    perform({ kind: "plan-restore", from: { kind: "backup", id: report.id } }, "restore-planned"),
  );
  const [candidate] = planned.candidates;
  assert.ok(candidate !== undefined);
  const restored = await despiteFaults(() => restoreOnce(candidate));
  assert.deepEqual(await linesOf(restored), await linesOf(identity));
  const state = await persist.catalog.loadTable(restored);
  assert.deepEqual([state.settings.retentionDays, state.positions], [7, {}]);
  assert.deepEqual(warehouse.temporaryFiles(), []);
  // It takes commits like any other: what its first version says of files and rows holds.
  const before = (await linesOf(restored)).length;
  const { rows } = await deleteWhere(warehouse, state, `epoch_us("timestamp") % 3 = 1`);
  assert.equal((await linesOf(restored)).length, before - rows);
});

async function restoreOnce(candidate: RestoreCandidate): Promise<TableIdentity> {
  const name = "again";
  const { identity } = await perform({ kind: "restore-table", candidate, name }, "restore-prepared");
  try {
    return (await perform({ kind: "publish-table", identity }, "table")).state.identity;
  } catch (error) {
    // An earlier one went well, and its answer was lost.
    if (!(error instanceof MiniodbError) || error.code !== "TABLE_EXISTS") throw error;
    const { name: found, uuid, location } = error.details as unknown as TableIdentity;
    return { name: found, uuid, location };
  }
}

test("a sweep takes what no backup names and is old enough, and nothing else", async () => {
  const identity = await makeTable("swept");
  const { snapshotId } = await persist.catalog.loadTable(identity);
  assert.ok(snapshotId !== null);
  const at = { kind: "snapshot-id", snapshotId } as const;
  const kept = backUpTask(identity, snapshotId, "pointers");
  await persist.catalog.tag(identity, { name: backupTag(kept.id), at });
  await perform(kept, "backed-up");
  const broken = backupId(Date.now() - 2 * dayMs, "0badcafe");
  const young = backupId(Date.now(), "0badcafe");
  for (const id of [broken, young]) await persist.catalog.tag(identity, { name: backupTag(id), at });
  // Copies without a manifest.
  const full = backUpTask(identity, snapshotId, "full");
  const had = await copies();
  await perform(full, "backed-up");
  const found = await parts.places.get(full.id);
  await target.delete(found.entry.key);
  assert.ok((await copies()) > had);
  const early = await perform({ kind: "sweep-backups", beforeMs: Date.now() - dayMs }, "backup-removed");
  assert.deepEqual([early.tags, early.objects], [1, 0]);
  const late = await perform({ kind: "sweep-backups", beforeMs: Date.now() + dayMs }, "backup-removed");
  assert.equal(late.tags, 1);
  assert.equal(await copies(), had);
  const tags = (await persist.catalog.listSnapshots(identity)).flatMap((snapshot) => snapshot.tags);
  assert.deepEqual(tags, [backupTag(kept.id)]);
});
