import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { after, test } from "node:test";
import { MergeControl } from "../../../src/shared/merge-control.js";
import { MergeRun } from "../../../src/workers/persist/merge-run.js";
import { openTestWarehouse } from "./test-warehouse.js";

const { context, remove } = openTestWarehouse();

after(remove);

test("a merge leaves a processor to writes while they come in", () => {
  const control = new MergeControl();
  const cores = availableParallelism();
  const merge = new MergeRun(context, { threads: cores, control: control.memory });
  assert.equal(merge.threads, cores);
  control.areWritesComing = true;
  assert.equal(merge.threads, Math.max(1, cores - 1));
  control.areWritesComing = false;
  assert.equal(merge.threads, cores);
});

test("one that has one thread keeps it", () => {
  const control = new MergeControl();
  control.areWritesComing = true;
  assert.equal(new MergeRun(context, { control: control.memory }).threads, 1);
});
