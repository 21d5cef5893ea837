import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import type { TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import type { TableSettings } from "../../../src/shared/schema/table-settings.js";
import { compactFiles } from "../../../src/workers/persist/compact.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { addIdFilters } from "../../../src/workers/persist/id-filters.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { readBack, runSql } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;
const stream = "33333333-3333-4333-8333-333333333333";
/** At 1 % the chance that more than so many of 300 are taken for one that is there is below one in a million. */
const wrongMax = 20;

/** Row groups whose filter does not rule the id out. */
async function groupsThatMayHave(path: string, id: string): Promise<number[]> {
  const sql = `SELECT row_group_id, bloom_filter_excludes FROM parquet_bloom_probe('${path}', 'id', '${id}')`;
  return (await runSql(sql)).filter(([, excludes]) => excludes !== true).map(([group]) => Number(group));
}

async function hasFilters(path: string): Promise<boolean> {
  const sql = `SELECT count(*)::INTEGER FROM parquet_metadata('${path}') WHERE bloom_filter_offset IS NOT NULL`;
  return Number((await runSql(sql))[0]?.[0]) > 0;
}

/** Each id is found, in every row group that has it; most that are not there are ruled out, in all of them. */
async function assertFiltered(path: string, ids: readonly (string | null)[], groupRows: number): Promise<void> {
  for (const [row, id] of ids.entries()) {
    if (id === null) continue;
    const groups = await groupsThatMayHave(path, id);
    assert.ok(groups.includes(Math.floor(row / groupRows)), `${id} in row ${row}`);
  }
  let wrong = 0;
  for (let strange = 0; strange < 300; strange++) wrong += (await groupsThatMayHave(path, randomUUID())).length;
  const groups = Math.ceil(ids.length / groupRows);
  assert.ok(wrong <= wrongMax * groups, `${wrong} of ${300 * groups}`);
}

async function tableOf(
  name: string,
  batches: readonly (readonly (string | null)[])[],
  settings: TableSettings,
): Promise<TableState> {
  const model = new TableModel(seededRandom(1));
  const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings });
  for (const ids of batches) {
    const afterSequence = model.lastSequence;
    model.appendValues("id", ids);
    const { schema, lastSequence } = model;
    const slice = model.slice(afterSequence, lastSequence);
    await flushRows(context, { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings, slice });
  }
  return context.catalog.loadTable(identity);
}

const pathOf = ({ key }: { readonly key: string }): string => context.store.readableUrl(key);
const someIds = (count: number): (string | null)[] =>
  Array.from({ length: count }, (_, index) => (index % 50 === 7 ? null : index % 50 === 9 ? "" : randomUUID()));

describe("Bloom filters on ids", () => {
  for (const bloomFilter of [true, false]) {
    test(`of flushes and merges: ${bloomFilter ? "where the table wants them" : "none unless asked for"}`, async () => {
      const batches = [someIds(300), [null, ...someIds(200)]];
      const state = await tableOf(`filters_${bloomFilter}`, batches, bloomFilter ? { bloomFilter } : {});
      for (const [index, file] of state.files.entries()) {
        assert.equal(await hasFilters(pathOf(file)), bloomFilter);
        const ids = (await readBack([pathOf(file)], state.schema)).map(([, id]) => id as string | null);
        assert.equal(ids.length, batches[index]?.length);
        if (bloomFilter) await assertFiltered(pathOf(file), ids, 131_072);
      }
      const { identity, schema, settings, files } = state;
      const next = applyCommit(
        state,
        await compactFiles(context, { kind: "compact", identity, schema, settings, files }),
      );
      const [merged] = next?.files ?? [];
      assert.ok(merged !== undefined && next?.files.length === 1);
      // Without being asked DuckDB makes one of a dictionary, which it has for as few rows as these.
      assert.equal(await hasFilters(pathOf(merged)), true);
      const ids = (await readBack([pathOf(merged)], schema)).map(([, id]) => id as string | null);
      assert.deepEqual(ids.toSorted(), batches.flat().toSorted());
      if (bloomFilter) await assertFiltered(pathOf(merged), ids, 122_880);
      for (const id of ids.filter((value) => value !== null).slice(0, 20)) {
        const count = ids.filter((value) => value === id).length;
        assert.deepEqual(await runSql(`SELECT count(*)::INTEGER FROM '${pathOf(merged)}' WHERE id = '${id}'`), [
          [count],
        ]);
      }
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }

  test("each row group has its own; ids that have a dictionary, and a file without ids", async () => {
    const path = join(warehouse.folder, "groups.parquet");
    const ids = Array.from({ length: 5000 }, (_, row) => `id-${row < 3000 ? row % 7 : row}`);
    const rows = `SELECT make_timestamptz(i) AS timestamp, 'id-' || CASE WHEN i < 3000 THEN i % 7 ELSE i END AS id FROM range(5000) AS t(i)`;
    const options = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048, FIELD_IDS {timestamp: 1, id: 2}";
    await runSql(`COPY (${rows} ORDER BY i) TO '${path}' (${options})`);
    const table = { columns: initialSchema.columns, schema: initialSchema };
    const before = await readBack([path], initialSchema);
    await addIdFilters(context, path, table);
    assert.deepEqual(await readBack([path], initialSchema), before);
    const sample = ids.map((id, row) => ({ id, row })).filter(({ row }) => row % 17 === 0);
    for (const { id, row } of sample) {
      const groups = await groupsThatMayHave(path, id);
      assert.ok(groups.includes(Math.floor(row / 2048)), `${id} in row ${row}`);
    }
    assert.ok((await groupsThatMayHave(path, "id-4999")).length < 3, "not in the first row groups");
    const bare = join(warehouse.folder, "bare.parquet");
    await runSql(
      `COPY (SELECT make_timestamptz(1) AS timestamp) TO '${bare}' (FORMAT parquet, FIELD_IDS {timestamp: 1})`,
    );
    await addIdFilters(context, bare, { ...table, columns: initialSchema.columns.slice(0, 1) });
    assert.equal(await hasFilters(bare), false);
  });
});
