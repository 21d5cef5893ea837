import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { TableRegistry } from "../../../src/main/catalog/table-registry.js";
import { Compactions } from "../../../src/main/upkeep/compactions.js";
import type { CompactionJob } from "../../../src/main/upkeep/compaction-job.js";
import { loadConfig } from "../../../src/shared/config.js";
import { limits } from "../../../src/shared/limits.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";

const everything = { isFull: false, fromDay: 0, throughDay: 1_000_000 };

function stateOf(version: number, files: readonly DataFile[]): TableState {
  const identity = { name: "t", uuid: "00000000-0000-4000-8000-000000000001", location: "t-1" };
  const times = { createdMs: 0, updatedMs: 0 };
  return { identity, version, snapshotId: "1", schema: initialSchema, settings: {}, files, positions: {}, ...times };
}

/** A server's compactions with one table of two small files, whose merges wait for a delete until `wake`. */
function waitingCompactions() {
  const registry = new TableRegistry("11111111-1111-4111-8111-111111111111", 1);
  const files = ["a", "b"].map((key): DataFile => ({
    key,
    bytes: 1000,
    rows: 10,
    day: 20_000,
    bounds: {},
    fieldIds: [],
  }));
  const entry = registry.add(stateOf(1, files));
  entry.deletesUnderWay = 1;
  const outcomes: string[] = [];
  let wake = (): void => {};
  const refuse = (): never => assert.fail("nothing is merged beside a delete");
  const compactions = new Compactions({
    registry,
    config: loadConfig({ argv: [], env: {} }).compaction,
    pool: { compact: refuse, loadTable: refuse, stateAfter: refuse },
    nowMs: () => 1,
    sleep: () =>
      new Promise((resolve) => {
        wake = resolve;
      }),
    onMerged: refuse,
    onEnded: (outcome) => outcomes.push(outcome),
    onError: refuse,
  });
  const over = async (job: CompactionJob): Promise<CompactionJob> => {
    for (; !job.isOver; await turn()) wake();
    return job;
  };
  return { compactions, entry, outcomes, over };
}

test("whoever asks and cancels again and again fills no line, and takes nobody's turn", async () => {
  const { compactions, entry, outcomes, over } = waitingCompactions();
  const running = compactions.ask(entry, everything);
  assert.equal(running.state, "running");
  const before = compactions.ask(entry, everything);
  for (let count = 0; count <= limits.compactionsWaitingMax; count++) {
    const job = compactions.ask(entry, everything);
    assert.equal(job.state, "waiting");
    compactions.cancel(job);
    assert.deepEqual([job.state, job.isOver, job.startedMs, job.progress], ["cancelled", true, null, 0]);
    // Once more changes nothing.
    compactions.cancel(job);
    assert.equal(job.state, "cancelled");
  }
  const last = compactions.ask(entry, everything);
  const listed = compactions.list(entry);
  assert.deepEqual([listed[0], listed.at(-2), listed.at(-1)], [last, before, running]);
  assert.equal(listed.filter(({ state }) => state === "cancelled").length, limits.compactionsKeptMax);

  // The one that runs ends when its work does, and those that wait have their turns.
  compactions.cancel(running);
  assert.deepEqual([running.state, running.isOver], ["running", false]);
  entry.adopt(stateOf(2, []), 0);
  assert.equal((await over(running)).state, "cancelled");
  assert.deepEqual([(await over(before)).state, (await over(last)).state], ["done", "done"]);
  assert.deepEqual(outcomes, ["cancelled", "done", "done"]);
  compactions.cancel(last);
  assert.deepEqual([last.state, compactions.get(entry, last.id)], ["done", last]);
});

test("a full line is refused, and a stop cancels all that is in it", async () => {
  const { compactions, entry, over } = waitingCompactions();
  const running = compactions.ask(entry, everything);
  const waiting = Array.from({ length: limits.compactionsWaitingMax }, () => compactions.ask(entry, everything));
  assert.throws(() => compactions.ask(entry, everything), { code: "SERVER_BUSY" });
  const stopped = compactions.stop();
  assert.ok(waiting.every(({ state }) => state === "cancelled"));
  assert.equal((await over(running)).state, "cancelled");
  await stopped;
  assert.throws(() => compactions.ask(entry, everything), { code: "SHUTTING_DOWN" });
});

test("a job knows whether writes come in, from its beginning on", async () => {
  const { compactions, entry, over } = waitingCompactions();
  compactions.tick(0, 1);
  const first = compactions.ask(entry, everything);
  assert.equal(first.control.areWritesComing, false);
  compactions.tick(5, 1);
  assert.equal(first.control.areWritesComing, true);
  compactions.tick(5, 900);
  assert.equal(first.control.areWritesComing, true, "the next write may be on its way");
  compactions.tick(5, 1_100);
  assert.equal(first.control.areWritesComing, false);
  compactions.tick(6, 1_200);
  entry.adopt(stateOf(2, []), 0);
  compactions.cancel(first);
  await over(first);
  const second = compactions.ask(entry, everything);
  assert.equal(second.control.areWritesComing, true);
  compactions.cancel(second);
  await over(second);
});
