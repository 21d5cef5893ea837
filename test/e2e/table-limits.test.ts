/** How many tables there may be, and who may make one. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

const tablesMax = 3;

describe("tables.max and tables.autoCreate", () => {
  let server: ServerProcess;
  let client: HttpClient;

  before(async () => {
    server = await ServerProcess.start({ flags: ["--tables-max", String(tablesMax)] });
    client = new HttpClient(() => server.url);
  });

  after(() => server.dispose());

  const write = (table: string): Promise<Reply> =>
    client.send(`/v1/tables/${table}/rows`, { body: '{"v":1}', headers: { "content-type": "application/x-ndjson" } });
  const create = (table: string): Promise<Reply> => client.sendJson("/v1/tables", { table_name: table });
  const outcome = ({ status, body }: Reply): unknown[] => [status, (body as { code?: string }).code];
  const count = async (): Promise<number> => ((await client.send("/v1/tables")).body as { total: number }).total;

  test("no more come into being, however many are asked for at once", async () => {
    const replies = await Promise.all(Array.from({ length: 10 }, (_, index) => write(`t${index}`)));
    const refused = replies.filter(({ status }) => status !== 200);
    assert.equal(refused.length, 10 - tablesMax);
    for (const reply of refused) {
      assert.deepEqual(outcome(reply), [503, "SERVER_BUSY"]);
      assert.equal(reply.headers["retry-after"], "1");
    }
    assert.equal(await count(), tablesMax);
    assert.deepEqual(outcome(await create("more")), [503, "SERVER_BUSY"]);
    const taken = replies.findIndex(({ status }) => status === 200);
    assert.equal((await write(`t${taken}`)).status, 200);
    await client.send(`/v1/tables/t${taken}`, { method: "DELETE" });
    assert.equal((await create("more")).status, 200);
    assert.equal(await count(), tablesMax);
    await client.send("/v1/tables/more", { method: "DELETE" });
  });

  test("without autoCreate a write makes no table", async () => {
    await server.kill();
    await server.restart(["--tables-auto-create", "false"]);
    assert.deepEqual(outcome(await write("unknown")), [404, "TABLE_NOT_FOUND"]);
    assert.equal((await create("known")).status, 200);
    assert.equal((await write("known")).status, 200);
    assert.equal(await count(), tablesMax);
  });
});
