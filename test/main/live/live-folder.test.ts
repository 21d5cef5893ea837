import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { LiveFolder } from "../../../src/main/live/live-folder.js";
import { initialSchema, withColumn } from "../../../src/shared/schema/table-schema.js";

const stream = randomUUID();

function temporaryFolder(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "miniodb-live-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

test("the next process finds tails, deltas in order and their schemas", (t) => {
  const root = temporaryFolder(t);
  const [first, second] = [randomUUID(), randomUUID()];
  const wider = withColumn(initialSchema, "v", "long");
  const folder = new LiveFolder(root, stream);
  folder.mark(first);
  folder.mark(second);
  const paths = [
    folder.pathFor(first, wider, 10, 30),
    folder.pathFor(first, initialSchema, 0, 10),
    folder.pathFor(first, initialSchema, 0, 10),
  ];
  assert.equal(new Set(paths).size, 3);
  for (const path of paths.slice(0, 2)) writeFileSync(path, "rows");
  writeFileSync(`${paths[2]}.tmp`, "half");

  const recovered = new LiveFolder(root, stream).recover();
  assert.deepEqual([...recovered.keys()].toSorted(), [first, second].toSorted());
  assert.deepEqual(recovered.get(second), []);
  const deltas = (recovered.get(first) ?? []).map(({ segment }) => segment);
  assert.deepEqual(
    deltas.map(({ path, firstSequence, lastSequence, rows, bytes, schema }) => {
      return { path, firstSequence, lastSequence, rows, bytes, schema };
    }),
    [
      { path: paths[1], firstSequence: 1, lastSequence: 10, rows: 10, bytes: 4, schema: initialSchema },
      { path: paths[0], firstSequence: 11, lastSequence: 30, rows: 20, bytes: 4, schema: wider },
    ],
  );
  assert.equal(existsSync(`${paths[2]}.tmp`), false);
});

test("deltas of a table without a tail go, and all of another log or another run of the machine", (t) => {
  const root = temporaryFolder(t);
  mkdirSync(join(root, "another-boot.another-log"));
  const uuid = randomUUID();
  const folder = new LiveFolder(root, stream);
  folder.mark(uuid);
  const path = folder.pathFor(uuid, initialSchema, 0, 10);
  writeFileSync(path, "rows");
  folder.forget(uuid);
  assert.equal(folder.recover().size, 0);
  assert.equal(existsSync(path), false);
  assert.equal(readdirSync(root).length, 1);
  assert.equal(new LiveFolder(root, randomUUID()).recover().size, 0);
  assert.equal(readdirSync(root).length, 1);
});
