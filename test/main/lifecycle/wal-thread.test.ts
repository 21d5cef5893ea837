import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { WalThread } from "../../../src/main/lifecycle/wal-thread.js";
import { IngestLink } from "../../../src/main/write/ingest-link.js";
import { MainDoorbell } from "../../../src/shared/ring/doorbell.js";
import type { WalWorkerLink } from "../../../src/shared/wal-messages.js";

function walLink(worker: number): WalWorkerLink {
  const { walRing, gatedRing, doorbell } = new IngestLink(worker, 65_536, () => undefined);
  return { walRing, gatedRing, doorbell, port: new MessageChannel().port2 };
}

test("ingest workers that die at the same time are each replaced", { timeout: 20_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-wal-"));
  const mainBell = new MainDoorbell(() => undefined);
  const sizes = { segmentBytes: 65_536, walBytesMax: 1e9, batchIdWindowMs: 1000, batchIdsMax: 10 };
  const died: unknown[] = [];
  const wal = new WalThread(
    { folder: join(folder, "wal"), ...sizes, mainBell },
    { stalled: () => undefined, resumed: () => undefined, died: (error) => died.push(error) },
  );
  t.after(async () => {
    await wal.stop();
    mainBell.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await wal.open([walLink(0), walLink(1)]);
  wal.post({ kind: "replayed" });
  await Promise.all([wal.replaceWorker(0, walLink(0)), wal.replaceWorker(1, walLink(1))]);
  assert.deepEqual(died, []);
});
