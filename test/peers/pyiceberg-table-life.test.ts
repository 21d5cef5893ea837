/** PyIceberg sees what became of a table: columns renamed, dropped and added again, days removed, rollback, tags. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { findPython, needPeer } from "../harness/peer.js";
import { HttpClient } from "../harness/http-client.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { ServerProcess } from "../harness/server-process.js";

interface Answer {
  readonly columns: readonly (readonly [number, string, string, boolean])[];
  readonly docs: readonly (string | null)[];
  readonly refs: Readonly<Record<string, readonly [string, string]>>;
  readonly snapshots: readonly (readonly [string, string])[];
  readonly scans: readonly { readonly rows: readonly Readonly<Record<string, unknown>>[] }[];
}

describe("a table's life, read by PyIceberg", () => {
  let server: ServerProcess;
  let client: HttpClient;
  const today = new Date(Math.floor(Date.now() / 86_400_000) * 86_400_000 + 43_200_000).toISOString();

  before(async () => {
    server = await ServerProcess.start({
      flags: ["--flush-interval-ms", "3600000", "--retention-interval-ms", "3600000"],
    });
    client = new HttpClient(() => server.url);
  });
  after(() => server.dispose());

  async function send(path: string, method: "POST" | "PUT" | "PATCH", body: object): Promise<Record<string, unknown>> {
    const reply = await client.send(path, { method, body: JSON.stringify(body) });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return reply.body as Record<string, unknown>;
  }

  async function flush(): Promise<string> {
    return String((await send("/v1/tables/life/flush", "POST", {}))["snapshot_id"]);
  }

  function ask(python: string, scans: readonly object[]): Answer {
    const warehouse = join(server.folder, "warehouse");
    const folder = readdirSync(warehouse).find((name) => name.startsWith("life-"));
    assert.ok(folder !== undefined);
    const input = JSON.stringify({ metadata: `file://${join(warehouse, folder)}`, scans });
    const script = join(repositoryRoot, "test", "peers", "pyiceberg-read.py");
    const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Answer;
  }

  function values(rows: Answer["scans"][number]["rows"], ...names: readonly string[]): unknown {
    return rows.map((row) => names.map((name) => row[name])).toSorted();
  }

  test("columns by field id, days, the way back, and refs", async (context) => {
    const python = needPeer(context, findPython("test/peers/pyiceberg-requirements.txt"));
    if (python === undefined) return;
    await client.write("life", [
      { timestamp: "2020-01-01T00:00:00Z", id: "old", a: 1, b: "x" },
      { timestamp: today, id: "r1", a: 2, b: "y" },
    ]);
    const first = await flush();
    await client.write("life", [{ timestamp: today, id: "r2", a: 3, b: "z" }]);
    const changes = [
      { op: "rename", name: "a", to: "c" },
      { op: "drop", name: "b" },
      { op: "add", name: "b", type: "double", comment: "another b" },
      { op: "move", name: "b", after: null },
    ];
    await send("/v1/tables/life/schema", "PATCH", { changes });
    await client.write("life", [{ timestamp: today, id: "r3", b: 1.5, c: 4 }]);
    const second = await flush();
    await send("/v1/tables/life/tags/before", "PUT", {});
    await send("/v1/tables/life", "PUT", { config: { retention_days: 30 } });
    await send("/v1/tables/life/retention", "POST", {});

    const answer = ask(python, [{}, { filter: "c = 3" }, { snapshot: first }, { snapshot: second }]);
    assert.deepEqual(
      answer.columns.map(([id, name, type]) => [id, name, type]),
      [
        [1, "timestamp", "timestamptz"],
        [2, "id", "string"],
        [5, "b", "double"],
        [3, "c", "long"],
      ],
    );
    assert.deepEqual(answer.docs, [null, null, "another b", null]);
    const [now, filtered, past, tagged] = answer.scans.map((scan) => scan.rows);
    assert.ok(now !== undefined && filtered !== undefined && past !== undefined && tagged !== undefined);
    const young = [
      ["r1", 2, null],
      ["r2", 3, null],
      ["r3", 4, 1.5],
    ];
    assert.deepEqual(values(now, "id", "c", "b"), young);
    assert.deepEqual(values(filtered, "id"), [["r2"]]);
    assert.deepEqual(values(past, "id", "a", "b"), [
      ["old", 1, "x"],
      ["r1", 2, "y"],
    ]);
    assert.deepEqual(values(tagged, "id", "c", "b"), [["old", 1, null], ...young]);
    assert.deepEqual(answer.refs["before"], [second, "tag"]);
    assert.equal(answer.snapshots.at(-1)?.[1], "delete");

    const back = await send("/v1/tables/life/rollback", "POST", { tag: "before" });
    const later = ask(python, [{}]);
    assert.deepEqual(values(later.scans[0]?.rows ?? [], "id", "c", "b"), [["old", 1, null], ...young]);
    assert.deepEqual(later.refs["main"], [back["snapshot_id"], "branch"]);
    assert.equal(later.snapshots.at(-1)?.[1], "overwrite");
  });
});
