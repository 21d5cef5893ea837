import assert from "node:assert/strict";
import { test } from "node:test";
import { TableRegistry } from "../../../src/main/catalog/table-registry.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";

const file: DataFile = { key: "t/data/1.parquet", bytes: 1, rows: 1, day: 20_000, bounds: {}, fieldIds: [1] };

function stateOf(name: string, files: number): TableState {
  return {
    identity: { name, uuid: `00000000-0000-4000-8000-${name.padStart(12, "0")}`, location: name },
    version: 1,
    snapshotId: null,
    schema: initialSchema,
    settings: {},
    positions: {},
    files: Array.from({ length: files }, () => file),
    createdMs: 0,
    updatedMs: 0,
  };
}

test("a dropped table keeps its slot for what is under way, and nothing of its files", () => {
  const registry = new TableRegistry("11111111-1111-4111-8111-111111111111", 2);
  const entry = registry.add(stateOf("1", 1000));
  const other = registry.add(stateOf("2", 3));
  registry.remove(entry);
  assert.equal(registry.find("1"), undefined);
  assert.equal(registry.bySlot(entry.slot), entry);
  assert.deepEqual([entry.isDropped, entry.state.files.length, entry.hot.length], [true, 0, 0]);
  // The answer to a commit that was made before the drop.
  entry.adopt({ ...stateOf("1", 1001), version: 2 }, 5);
  assert.deepEqual([entry.state.version, entry.state.files.length], [2, 0]);
  assert.equal(other.state.files.length, 3);
});
