/** What clients get wrong: a clear 4xx each time, and a server that goes on. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HttpClient, type Reply, type Sending } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

const ndjson = { "content-type": "application/x-ndjson" };
const json = { "content-type": "application/json" };

describe("bad input", () => {
  let server: ServerProcess;
  let client: HttpClient;

  before(async () => {
    server = await ServerProcess.start({
      flags: ["--http-body-bytes-max", "16777216", "--http-inflated-bytes-max", "33554432"],
    });
    client = new HttpClient(() => server.url);
    await client.write("good", [{ v: 1 }]);
  });

  after(() => server.dispose());

  const expectCode = async (path: string, sending: Sending, status: number, code: string): Promise<Reply> => {
    const reply = await client.send(path, sending);
    const label = `${path}: ${JSON.stringify(reply.body).slice(0, 300)}`;
    assert.equal(reply.status, status, label);
    const { error, code: found } = reply.body as { error: unknown; code: unknown };
    assert.equal(found, code, label);
    assert.equal(typeof error, "string", label);
    return reply;
  };

  const rowsPath = "/v1/tables/good/rows";

  test("bodies that are not what they say", async () => {
    await expectCode(rowsPath, { body: "[".repeat(10_000_000), headers: json }, 400, "INVALID_BODY");
    await expectCode(rowsPath, { body: '[{"v":1},{"v":', headers: json }, 400, "INVALID_BODY");
    await expectCode(rowsPath, { body: '{"v":1', headers: ndjson }, 400, "ROW_REJECTED");
    await expectCode(
      rowsPath,
      { body: new Uint8Array([0x93, 1, 2]), headers: { "content-type": "application/msgpack" } },
      400,
      "INVALID_BODY",
    );
    await expectCode(
      rowsPath,
      { body: "v\n", headers: { "content-type": "application/vnd.apache.arrow.stream" } },
      400,
      "INVALID_BODY",
    );
    await expectCode(
      rowsPath,
      { body: "nonsense", headers: { ...ndjson, "content-encoding": "gzip" } },
      400,
      "INVALID_BODY",
    );
    await expectCode(
      rowsPath,
      { body: "{}", headers: { ...ndjson, "content-encoding": "br" } },
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    );
    await expectCode(
      rowsPath,
      { body: "{}", headers: { "content-type": "text/plain" } },
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    );
    await expectCode(rowsPath, { body: "{}" }, 415, "UNSUPPORTED_MEDIA_TYPE");
    await expectCode(rowsPath, { body: "x".repeat(17_000_000), headers: ndjson }, 413, "BODY_TOO_LARGE");
  });

  test("a body error says where, and nothing of the batch is in", async () => {
    const reply = await expectCode(rowsPath, { body: '[{"v":2},{"v":3}x]', headers: json }, 400, "INVALID_BODY");
    const { details } = reply.body as { details: { position: number } };
    assert.equal(details.position, 16);
    assert.deepEqual(await client.query("select sum(v) as v from good"), [{ v: 1 }]);
  });

  test("values outside their range are rejected rows, the others are taken", async () => {
    const lines = [
      '{"v":NaN}',
      '{"v":1e999}',
      '{"v":2,"timestamp":"0000-01-01T00:00:00Z"}',
      '{"v":2,"timestamp":1e300}',
      '{"v":2,"timestamp":"2026-02-30T00:00:00Z"}',
      '{"id":"white space"}',
      '{"":1}',
      "[1,2]",
      '{"v":2,"t":"a\\u0000b"}',
      '{"v":2} {"v":3}',
      '{"v":4}',
    ];
    const reply = await client.send("/v1/tables/ranges/rows", { body: lines.join("\n"), headers: ndjson });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    const { accepted, rejected } = reply.body as { accepted: number; rejected: number };
    assert.equal(accepted + rejected, lines.length);
    // A NUL inside a text is valid JSON, and kept.
    assert.deepEqual(await client.query("select v from ranges order by v"), [{ v: 2 }, { v: 4 }]);
  });

  test("names and parameters", async () => {
    for (const table of ["1abc", "a-b", "x".repeat(65), "a%00b", "a.b", "%E0%A4%A"]) {
      await expectCode(`/v1/tables/${table}/rows`, { body: "{}", headers: ndjson }, 400, "INVALID_REQUEST");
    }
    await expectCode(`${rowsPath}?durability=never`, { body: "{}", headers: ndjson }, 400, "INVALID_REQUEST");
    await expectCode(
      rowsPath,
      { body: "{}", headers: { ...ndjson, "idempotency-key": "k".repeat(256) } },
      400,
      "INVALID_REQUEST",
    );
    await expectCode("/v1/tables", { body: '{"table_name":5}', headers: json }, 400, "INVALID_REQUEST");
    await expectCode(
      "/v1/tables",
      { body: '{"table_name":"t","config":{"id_strategy":"x"}}', headers: json },
      400,
      "INVALID_REQUEST",
    );
    await expectCode("/v1/tables", { body: "[]", headers: json }, 400, "INVALID_BODY");
    await expectCode("/v1/nothing", { method: "GET" }, 404, "NOT_FOUND");
    await expectCode(rowsPath, { method: "GET" }, 405, "METHOD_NOT_ALLOWED");
    await expectCode("/v1/tables/missing", { method: "GET" }, 404, "TABLE_NOT_FOUND");
    await expectCode("/v1/tables/missing/flush", { method: "POST" }, 404, "TABLE_NOT_FOUND");
  });

  test("one-row requests", async () => {
    for (const body of [
      "",
      "{}",
      "[]",
      '{"table":"t"}',
      '{"table":"t","id":"a","payload":5}',
      '{"table":"../x","id":"a","payload":{}}',
      "{",
    ]) {
      const reply = await client.send("/v1/data", { body, headers: json });
      assert.equal(reply.status, 400, `${body}: ${JSON.stringify(reply.body)}`);
    }
  });

  test("queries", async () => {
    const query = (sql: unknown): Sending => ({ body: JSON.stringify({ sql }), headers: json });
    await expectCode("/v1/query", query("selec 1"), 400, "INVALID_SQL");
    await expectCode("/v1/query", query("select nothing from good"), 400, "INVALID_SQL");
    await expectCode("/v1/query", query("select 1 from missing"), 404, "TABLE_NOT_FOUND");
    await expectCode("/v1/query", query("drop table good"), 403, "SQL_NOT_ALLOWED");
    await expectCode("/v1/query", query("select * from read_text('/etc/passwd')"), 403, "SQL_NOT_ALLOWED");
    await expectCode("/v1/query", query(""), 400, "INVALID_REQUEST");
    await expectCode("/v1/query", query(5), 400, "INVALID_REQUEST");
    assert.deepEqual(await client.query("select v as \"update\" from good where 'a -- b' <> ';'"), [{ update: 1 }]);
  });

  test("after all of that the server answers as before", async () => {
    await client.write("good", [{ v: 2 }]);
    assert.deepEqual(await client.query("select sum(v) as v from good"), [{ v: 3 }]);
  });
});
