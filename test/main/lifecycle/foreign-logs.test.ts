import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { foreignLogs } from "../../../src/main/lifecycle/foreign-logs.js";
import type { TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";

function state(name: string, positions: Readonly<Record<string, number>>, updatedMs: number): TableState {
  return {
    identity: { name, uuid: name, location: name },
    version: 1,
    snapshotId: null,
    schema: initialSchema,
    settings: {},
    files: [],
    positions,
    createdMs: 0,
    updatedMs,
  };
}

describe("logs of others", () => {
  test("are named where none of the tables knows ours, with what is safe", () => {
    const states = [state("b", { lost: 7 }, 2_000), state("a", { lost: 3, other: 1 }, 1_000), state("c", {}, 9_000)];
    assert.deepEqual(foreignLogs(states, "ours"), [
      { stream: "lost", tables: ["a", "b"], lastCommit: "1970-01-01T00:00:02.000Z" },
      { stream: "other", tables: ["a"], lastCommit: "1970-01-01T00:00:01.000Z" },
    ]);
  });

  test("are other nodes' matter where a table knows ours, and in an empty warehouse there are none", () => {
    assert.deepEqual(foreignLogs([state("a", { other: 3 }, 1), state("b", { ours: 1, other: 2 }, 1)], "ours"), []);
    assert.deepEqual(foreignLogs([], "ours"), []);
  });
});
