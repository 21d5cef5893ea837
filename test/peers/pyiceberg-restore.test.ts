/** PyIceberg reads a restored table: its files have addresses of their own, deletes included. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { BackupClient } from "../harness/backup-client.js";
import { HttpClient } from "../harness/http-client.js";
import { findPython, needPeer } from "../harness/peer.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { ServerProcess } from "../harness/server-process.js";

let server: ServerProcess | undefined;
after(() => server?.dispose());

test("a restored table stands alone, and PyIceberg sees its rows", async (context) => {
  const python = needPeer(context, findPython("test/peers/pyiceberg-requirements.txt"));
  if (python === undefined) return;
  server = await ServerProcess.start({ flags: ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d"] });
  const client = new HttpClient(server.url);
  const backups = new BackupClient(client);
  for (const batch of ["a", "b"]) {
    const rows = Array.from({ length: 10 }, (_, index) => ({
      timestamp: "2026-11-20T00:00:00Z",
      id: `${batch}${index}`,
      index,
    }));
    await client.write("old", rows);
    assert.equal((await client.sendJson("/v1/tables/old/flush", {})).status, 200);
  }
  assert.equal((await client.sendJson("/v1/tables/old/delete", { where: "index % 2 = 0" })).status, 200);
  const made = await backups.create();
  await backups.restore({ backup_file: made.backup_id, rename: { old: "fresh" } });
  await client.write("fresh", [{ timestamp: "2026-11-20T00:00:00Z", id: "later", index: 1 }]);
  assert.equal((await client.sendJson("/v1/tables/fresh/flush", {})).status, 200);
  const expected = (await client.query<{ id: string }>("SELECT id FROM fresh ORDER BY id")).map(({ id }) => id);
  assert.equal(expected.length, 11);
  await server.stop();
  const warehouse = join(server.folder, "warehouse");
  const folderOf = (name: string): string => readdirSync(warehouse).find((each) => each.startsWith(`${name}-`)) ?? "";
  rmSync(join(warehouse, folderOf("old")), { recursive: true });
  const input = JSON.stringify({ metadata: `file://${join(warehouse, folderOf("fresh"))}`, scans: [{}] });
  const script = join(repositoryRoot, "test", "peers", "pyiceberg-read.py");
  const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const { scans } = JSON.parse(stdout) as {
    readonly scans: readonly { readonly rows: readonly { readonly id: string }[] }[];
  };
  assert.deepEqual(scans[0]?.rows.map(({ id }) => id).toSorted(), expected);
});
