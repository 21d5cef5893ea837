/** Flushes to a store across a network: uploads go on while the next file is encoded. MINIODB_TEST_SEED replays the rows. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { FlushTask, TableIdentity } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { ForwardingStore } from "../../../src/shared/store/forwarding-store.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import type { PersistContext } from "../../../src/workers/persist/persist-context.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { plainRow, readBack, sortPlain } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const stream = "23232323-2323-4232-8232-232323232323";
const days = 4;
const shape = { days, firstDay: 20_000, isAscending: false, nullShare: 0.1 };

/** The test's own store, as if it were elsewhere. */
class FarStore extends ForwardingStore {
  readonly events: string[] = [];
  /** Throws, or takes its time. */
  onPut: (put: number) => Promise<void> = () => Promise.resolve();
  #puts = 0;

  override get isLocal(): boolean {
    return false;
  }

  override async putFile(key: string, path: string): Promise<void> {
    const put = this.#puts++;
    this.events.push(`put ${put}`);
    await this.onPut(put);
    await this.inner.putFile(key, path);
    this.events.push(`stored ${put}`);
  }
}

describe(`flush to a store across a network (MINIODB_TEST_SEED=${seed})`, () => {
  let warehouse: TestWarehouse;
  let far: FarStore;
  let context: PersistContext;

  beforeEach(() => {
    warehouse = openTestWarehouse();
    far = new FarStore(warehouse.store);
    context = { ...warehouse.context, store: far, partitionsPerRound: 10 };
  });
  afterEach(() => warehouse.remove());

  async function makeTable(name: string, from = context): Promise<{ model: TableModel; identity: TableIdentity }> {
    const { identity } = await from.catalog.createTable({ name, schema: initialSchema, settings: {} });
    const model = new TableModel(seededRandom(seed));
    for (const type of ["long", "double", "string", "boolean"] as const) model.addColumn(`a ${type}`, type);
    for (let record = 0; record < 5; record++) model.appendRecord(200, shape);
    return { model, identity };
  }

  function taskOf(model: TableModel, identity: TableIdentity): FlushTask {
    const { schema, lastSequence } = model;
    const slice = model.slice(0, lastSequence);
    return { kind: "flush", identity, stream, afterSequence: 0, lastSequence, schema, settings: {}, slice };
  }

  async function assertAllOnce(model: TableModel, identity: TableIdentity): Promise<void> {
    const { files, schema } = await context.catalog.loadTable(identity);
    const names = schema.columns.map(({ name }) => name);
    const seen = await readBack(
      files.map((file) => warehouse.store.readableUrl(file.key)),
      schema,
    );
    const expected = model.rows.map((row) => plainRow(row, schema));
    assert.deepEqual(sortPlain(seen, schema, names), sortPlain(expected, schema, names));
    assert.deepEqual(warehouse.temporaryFiles(), []);
  }

  test("the first file is on its way before the last one is encoded", async () => {
    const { model, identity } = await makeTable("overlap");
    const filesThen: number[] = [];
    far.onPut = async () => {
      filesThen.push(warehouse.temporaryFiles().length);
      await delay(20);
    };
    await flushRows(context, taskOf(model, identity));
    assert.equal(filesThen.length, days);
    assert.ok((filesThen[0] as number) < days, `files that were there at each put: ${filesThen.join(", ")}`);
    await assertAllOnce(model, identity);
  });

  test("writes the very files that it writes where it encodes without a pause", async () => {
    const { model, identity } = await makeTable("paused");
    await flushRows(context, taskOf(model, identity));
    const plain = openTestWarehouse();
    try {
      const { identity: other } = await makeTable("paused", plain.context);
      await flushRows(plain.context, taskOf(model, other));
      const bodies = async (of: TestWarehouse): Promise<string[]> => {
        const keys = await of.dataKeys();
        const read = await Promise.all(
          keys.map(async (key) => Buffer.from(await of.store.get(key)).toString("base64")),
        );
        return read.toSorted();
      };
      const written = await bodies(warehouse);
      assert.equal(written.length, days);
      assert.deepEqual(written, await bodies(plain));
    } finally {
      plain.remove();
    }
  });

  test("a put that fails ends the flush before its last file, and nothing stays; the same task again works", async () => {
    const { model, identity } = await makeTable("failing");
    far.onPut = (put) => (put === 0 ? Promise.reject(new Error("away")) : delay(5));
    await assert.rejects(flushRows(context, taskOf(model, identity)), { code: "STORE_UNAVAILABLE" });
    const begun = far.events.filter((event) => event.startsWith("put")).length;
    assert.ok(begun < days, `${begun} puts were begun`);
    assert.deepEqual(await warehouse.dataKeys(), []);
    assert.deepEqual(warehouse.temporaryFiles(), []);
    far.onPut = () => Promise.resolve();
    await flushRows(context, taskOf(model, identity));
    await assertAllOnce(model, identity);
  });

  test("flushes of several tables in one thread: one encodes while the others upload, and each has its rows", async () => {
    const tables = [];
    for (const name of ["one", "two", "three"]) tables.push(await makeTable(name));
    far.onPut = () => delay(10);
    await Promise.all(tables.map(({ model, identity }) => flushRows(context, taskOf(model, identity))));
    let atOnce = 0;
    let atOnceMax = 0;
    for (const event of far.events) atOnceMax = Math.max(atOnceMax, (atOnce += event.startsWith("put") ? 1 : -1));
    assert.ok(atOnceMax > 1, "uploads of several days or tables at once");
    for (const { model, identity } of tables) await assertAllOnce(model, identity);
  });

  test("one that fails to encode does not hold up the others", async () => {
    const [good, bad] = [await makeTable("good"), await makeTable("bad")];
    const failing = flushRows({ ...context, temporaryFolder: "/nowhere/at/all" }, taskOf(bad.model, bad.identity));
    const working = flushRows(context, taskOf(good.model, good.identity));
    await assert.rejects(failing, { code: "ENOENT" });
    await working;
    await assertAllOnce(good.model, good.identity);
  });
});
