import assert from "node:assert/strict";
import { appendFileSync, fstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GrowthSync } from "../../../src/workers/persist/growth-sync.js";

const mebibyte = Buffer.alloc(1024 * 1024);

function newPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-growth-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "grows");
}

/** An fdatasync that takes until `end`, and notes how long the file was. */
function slowSync() {
  const sizes: number[] = [];
  const ends: (() => void)[] = [];
  const sync = (fd: number, done: (error: NodeJS.ErrnoException | null) => void): void => {
    sizes.push(fstatSync(fd).size / mebibyte.length);
    ends.push(() => done(null));
  };
  return { sizes, sync: Object.assign(sync, { __promisify__: () => Promise.resolve() }), end: () => ends.shift()?.() };
}

test("a file that grows is synced in parts, one after the other", async (t) => {
  const path = newPath(t);
  const { sizes, sync, end } = slowSync();
  const growth = new GrowthSync(path, sync);
  await delay(60);
  appendFileSync(path, mebibyte);
  await delay(60);
  assert.deepEqual(sizes, [], "there was no file, and then too little in it");
  appendFileSync(path, Buffer.concat([mebibyte, mebibyte]));
  while (sizes.length === 0) await delay(1);
  appendFileSync(path, Buffer.concat([mebibyte, mebibyte]));
  await delay(60);
  assert.deepEqual(sizes, [3], "the next part waits for the one that is under way");
  end();
  while (sizes.length === 1) await delay(1);
  assert.deepEqual(sizes, [3, 5]);
  let isStopped = false;
  const stopping = growth.stop().then(() => {
    isStopped = true;
  });
  await delay(20);
  assert.equal(isStopped, false, "its descriptor is still in use");
  end();
  await stopping;
  appendFileSync(path, Buffer.concat([mebibyte, mebibyte]));
  await delay(60);
  assert.deepEqual(sizes, [3, 5]);
});

test("a file that never comes is no error", async (t) => {
  const growth = new GrowthSync(newPath(t));
  await delay(60);
  await growth.stop();
});
