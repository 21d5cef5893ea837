/** Log and memory are shared by all tables: one whose flushes are rare must not have the writes of all refused. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";

const filler = "f".repeat(1000);
const rowsPerBatch = 200;
const rareFlush = { flush_interval_seconds: 3600, buffer_size: 10_000_000 };

describe("shared room", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-room-"));
  let server: ServerProcess | undefined;

  afterEach(async () => {
    await server?.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  const start = async (flags: readonly string[], env: Record<string, string> = {}): Promise<HttpClient> => {
    server = await ServerProcess.start({ folder: root, flags, env });
    const { url } = server;
    return new HttpClient(url);
  };

  /** One batch, sent again while the server asks to wait. */
  const write = async (client: HttpClient, table: string, batch: number): Promise<void> => {
    const rows = Array.from({ length: rowsPerBatch }, (_, row) => ({ id: `${batch}-${row}`, filler }));
    const body = rows.map((row) => JSON.stringify(row)).join("\n");
    const headers = { "content-type": "application/x-ndjson", "idempotency-key": `${table}-${batch}` };
    for (const deadline = Date.now() + 20_000; ; await delay(50)) {
      const reply = await client.send(`/v1/tables/${table}/rows`, { body, headers });
      if (reply.status === 200) return;
      assert.equal(reply.status, 503, JSON.stringify(reply.body));
      assert.ok(Date.now() < deadline, `writes are refused for good: ${JSON.stringify(reply.body)}`);
    }
  };

  const writeAll = async (client: HttpClient, tables: readonly string[], batches: number): Promise<void> => {
    for (const table of tables) {
      const reply = await client.sendJson("/v1/tables", { table_name: table, config: rareFlush });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
    }
    for (let batch = 0; batch < batches; batch++) {
      for (const table of tables) await write(client, table, batch);
    }
    for (const table of tables) assert.equal(await client.count(table), batches * rowsPerBatch);
  };

  const rooms = {
    "a full log has the table flushed that holds it up": ["--wal-segment-bytes", "1MiB", "--wal-bytes-max", "2MiB"],
    "full buffers have the largest one flushed": ["--ingest-buffered-bytes-max", "2MiB"],
  };
  for (const [name, flags] of someOf(Object.entries(rooms), 1)) {
    test(name, async () => {
      const client = await start(flags);
      await writeAll(client, ["rare_a", "rare_b"], 12);
    });
  }

  test("what a crash left in the log of rows that the store has is trimmed at the next start", async () => {
    const flags = ["--wal-segment-bytes", "1MiB"];
    let client = await start(flags, { MINIODB_FAILPOINT: "wal.trim.removed:1:kill" });
    for (let batch = 0; batch < 18; batch++) await write(client, "t", batch);
    await assert.rejects(
      client.sendJson("/v1/tables/t/flush", {}).then(() => delay(5000).then(() => client.count("t"))),
    );
    await server?.dispose();
    client = await start(flags);
    for (const deadline = Date.now() + 10_000; ; await delay(50)) {
      const { body } = await client.send("/metrics");
      if (/^miniodb_wal_segments 1$/m.test(String(body))) break;
      assert.ok(Date.now() < deadline, "the log is trimmed without a further flush");
    }
    assert.equal(await client.count("t"), 18 * rowsPerBatch);
  });
});
