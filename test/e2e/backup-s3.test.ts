/** Full backups between buckets and folders, on a real S3 server. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { answersOf, BackupClient } from "../harness/backup-client.js";
import { HttpClient } from "../harness/http-client.js";
import { runCommand } from "../harness/run-command.js";
import { listKeys, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";

const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d"];
const timestamp = "2026-11-20T00:00:00Z";
/** Where the backup is restored to; a small run has one of them. */
const targets = someOf(["folder", "bucket"], 1);

describe("backups on S3", { skip: await whyNoS3Server() }, () => {
  test(`a bucket is backed up into another, encrypted, and restored into another ${targets.join(" and a third ")}`, async () => {
    const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-backup-s3-"));
    const s3 = await startS3Server();
    const [bucket, copies, third] = [await s3.createBucket(), await s3.createBucket(), await s3.createBucket()];
    const key = { MINIODB_BACKUP_KEY: Buffer.alloc(32, 9).toString("base64") };
    // Of the same server: its address and credentials are those of the store.
    const env = { ...storeEnvironment(s3, bucket), METADATA_BACKUP_BUCKET: copies, ...key };
    const server = await ServerProcess.start({ folder: join(root, "data"), flags: quiet, env });
    const client = new HttpClient(server.url);
    const backups = new BackupClient(client);
    try {
      const rows = Array.from({ length: 3_000 }, (_, index) => ({ timestamp, id: `r${index}`, index }));
      await client.write("t", rows);
      await client.sendJson("/v1/tables/t/flush", {});
      assert.equal((await client.sendJson("/v1/tables/t/delete", { where: "index % 7 = 0" })).status, 200);
      const made = await backups.create({ kind: "full" });
      assert.deepEqual(await backups.verify(made.backup_id), []);
      const before = await answersOf(client, ["t"]);
      const keys = await listKeys(s3, copies);
      assert.ok(keys.every((name) => name.startsWith(".miniodb-backup/")) && keys.length >= 5, keys.join("\n"));
      const pointers = await backups.create();
      assert.equal((await backups.restore({ backup_file: pointers.backup_id, rename: { t: "t2" } }))["entries_ok"], 1);
      assert.deepEqual(await answersOf(client, ["t"], { t: "t2" }), before);

      const folder = join(root, "folder");
      const place = {
        MINIODB_BACKUP_BUCKET: copies,
        MINIODB_BACKUP_ENDPOINT: s3.endpoint,
        MINIODB_BACKUP_ACCESS_KEY_ID: s3.accessKeyId,
        MINIODB_BACKUP_SECRET_ACCESS_KEY: s3.secretAccessKey,
        ...key,
      };
      if (targets.includes("folder")) {
        const local = await runCommand(["restore", "--latest", "--data-folder", folder], place);
        assert.equal(local.code, 0, local.output);
        const fromFolder = await ServerProcess.start({ folder });
        assert.deepEqual(await answersOf(new HttpClient(fromFolder.url), ["t"]), before);
        await fromFolder.dispose();
      }
      if (targets.includes("bucket")) {
        const other = { ...storeEnvironment(s3, third), METADATA_BACKUP_BUCKET: copies, ...key };
        const remote = await runCommand(["restore", "--latest", "--data-folder", join(root, "other")], other);
        assert.equal(remote.code, 0, remote.output);
        const fromBucket = await ServerProcess.start({ folder: join(root, "other"), env: other });
        assert.deepEqual(await answersOf(new HttpClient(fromBucket.url), ["t"]), before);
        await fromBucket.dispose();
      }
    } finally {
      await server.dispose();
      await s3.stop();
      rmSync(root, { recursive: true, force: true });
    }
  });
});
