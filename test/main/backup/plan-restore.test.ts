import assert from "node:assert/strict";
import { test } from "node:test";
import { planTables, type RestoreChoice } from "../../../src/main/backup/plan-restore.js";
import { namePattern } from "../../../src/main/protocols/table-info.js";
import type { RestoreCandidate } from "../../../src/shared/backup-messages.js";

function candidate(name: string): RestoreCandidate {
  const sizes = { rows: 1, files: 1, bytes: 1 };
  return { name, uuid: name, location: name, backupId: "b", snapshotId: "1", timeMs: 0, ...sizes };
}

function plan(choice: Partial<RestoreChoice>, existing: readonly string[] = []) {
  const candidates = ["cpu", "Mem", "disk"].map(candidate);
  const full = { tables: [], rename: {}, isOverwriting: false, ...choice };
  const exists = (name: string): boolean => existing.includes(name.toLowerCase());
  const { tables, missing } = planTables(candidates, full, { matcher: namePattern, exists });
  return [tables.map(({ candidate: from, name, action }) => `${from.name}>${name}:${action}`).join(" "), missing];
}

test("all tables, some, and under new names; what exists is left alone unless it is to be overwritten", () => {
  assert.deepEqual(plan({}), ["cpu>cpu:restore Mem>Mem:restore disk>disk:restore", []]);
  assert.deepEqual(plan({ tables: ["MEM", "d*", "x?"] }), ["Mem>Mem:restore disk>disk:restore", ["x?"]]);
  assert.deepEqual(plan({ tables: ["cpu"] }, ["cpu"]), ["cpu>cpu:skip", []]);
  assert.deepEqual(plan({ tables: ["cpu"], isOverwriting: true }, ["cpu"]), ["cpu>cpu:overwrite", []]);
  assert.deepEqual(plan({ tables: ["cpu"], rename: { CPU: "old" } }, ["cpu"]), ["cpu>old:restore", []]);
});

test("names that cannot be are refused", () => {
  assert.throws(() => plan({ rename: { cpu: "1" } }), /no name of a table/);
  assert.throws(() => plan({ rename: { cpu: "MEM" } }), /two tables would be called/);
  assert.throws(() => plan({ tables: ["mem"], rename: { cpu: "x" } }), /not one of those to be restored/);
});
