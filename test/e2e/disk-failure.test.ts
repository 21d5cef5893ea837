/** The disk under a running server fills up, fails, and comes back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";

describe("a disk that refuses", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-disk-"));
  const control = join(root, "failing");
  let server: ServerProcess;
  let client: HttpClient;
  let acknowledged = 0;

  before(async () => {
    const env = { MINIODB_TEST_DISK: `failing=${control}` };
    server = await ServerProcess.start({ folder: join(root, "data"), env });
    client = new HttpClient(() => server.url);
  });

  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  const write = async (batchId: string): Promise<{ status: number; code: unknown }> => {
    const reply = await client.send("/v1/tables/t/rows", {
      body: '{"v":1}',
      headers: { "content-type": "application/x-ndjson", "idempotency-key": batchId },
    });
    if (reply.status === 200) acknowledged++;
    return { status: reply.status, code: (reply.body as { code?: unknown }).code };
  };

  for (const code of someOf(["ENOSPC", "EIO"], 1)) {
    test(`${code}: writes are refused, queries go on, the server resumes by itself and loses nothing`, async () => {
      assert.equal((await write(`${code}-before`)).status, 200);
      writeFileSync(control, code);
      // The first is under way when the log stalls; later ones are refused at the door.
      assert.deepEqual(await write(`${code}-during`), { status: 503, code: "WAL_STALLED" });
      assert.deepEqual(await write(`${code}-refused`), { status: 503, code: "WAL_STALLED" });
      assert.equal((await client.send("/v1/health")).status, 503);
      const seen = await client.count("t");
      assert.ok(seen >= acknowledged, `${seen} rows are seen, ${acknowledged} were acknowledged`);
      rmSync(control);
      const deadline = Date.now() + 20_000;
      while ((await client.send("/v1/health")).status !== 200) {
        assert.ok(Date.now() < deadline, "the server resumes");
        await delay(50);
      }
      // What was under way became durable, or not; its batch id makes the repeat safe.
      for (const batch of ["during", "refused", "after"]) assert.equal((await write(`${code}-${batch}`)).status, 200);
      assert.equal(await client.count("t"), acknowledged);
      await server.kill();
      // The end of the log is written again before anybody sees it.
      writeFileSync(control, code);
      await assert.rejects(server.restart(), /The end of the log, in \S+, cannot be made durable: E/);
      rmSync(control);
      await server.restart();
      assert.equal(await client.count("t"), acknowledged);
    });
  }
});
