/** An ingest worker that dies is replaced, and loses nothing that was acknowledged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient, type WriteReply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

test("an ingest worker dies in the middle of writes", async (t) => {
  const env = { MINIODB_FAILPOINT: "ingest.round:400:error" };
  const server = await ServerProcess.start({ env, flags: ["--flush-rows", "500"] });
  t.after(() => server.dispose());
  const client = new HttpClient(() => server.url);
  let acknowledged = 0;
  let lost = 0;
  const write = async (worker: number): Promise<void> => {
    for (let batch = 0; batch < 300; batch++) {
      const batchId = `${worker}-${batch}`;
      for (;;) {
        const reply = await client.send("/v1/tables/survivors/rows", {
          body: `{"writer":${worker},"batch":${batch}}\n{"writer":${worker},"batch":${batch}}`,
          headers: { "content-type": "application/x-ndjson", "idempotency-key": batchId },
        });
        if (reply.status === 200) {
          acknowledged += (reply.body as WriteReply).accepted;
          break;
        }
        assert.equal((reply.body as { code: string }).code, "WORKER_LOST", JSON.stringify(reply.body));
        lost++;
        await delay(10);
      }
    }
  };
  await Promise.all([0, 1, 2, 3].map(write));
  assert.match(server.output, /an ingest worker died and is replaced/);
  assert.equal(acknowledged, 4 * 300 * 2);
  const rows = await client.query(
    "select count(*) as n, count(distinct writer * 1000 + batch) as batches from survivors",
  );
  assert.deepEqual(rows, [{ n: 2400, batches: 1200 }]);
  const metrics = await client.send("/metrics");
  assert.match(String(metrics.body), /miniodb_pool_crashes_total\{pool="ingest"\} 1/);
  t.diagnostic(`${lost} batches were under way when the worker died, and repeated`);
});
