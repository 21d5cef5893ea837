/** WebSocket /v1/subscribe as a client meets it: filters, tokens, credits, changes of the table, errors. */
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { loadUws } from "../../src/main/sockets/uws-server.js";
import { HttpClient } from "../harness/http-client.js";
import { LiveClient } from "../harness/live-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";

const numbers = (count: number, from = 0): { v: number }[] =>
  Array.from({ length: count }, (_, at) => ({ v: from + at }));

for (const implementation of someOf(implementations(), 1)) {
  describe(`/v1/subscribe (${implementation})`, () => {
    let server: ServerProcess;
    let client: HttpClient;

    before(async () => {
      const live = ["--live-message-bytes-max", "262144", "--live-slow-ms", "500"];
      server = await ServerProcess.start({ flags: ["--sockets-implementation", implementation, ...live] });
      client = new HttpClient(() => server.url);
    });

    after(() => server.dispose());

    test("rows come as a query gives them, from now on and from a token", async () => {
      const rows = [
        { v: 1, host: "a", ok: true, when: "2026-01-02T03:04:05.678901Z", nested: { list: [1, 2] } },
        { v: -9_007_199_254_740_991, host: 'quote " and \u0001', ok: false, timestamp: "2026-03-04T05:06:07Z" },
      ];
      const before = await client.write("shapes", [{ v: 0 }]);
      const live = await LiveClient.open(server.url);
      const subscribed = await live.subscribe({ table: "Shapes" });
      assert.deepEqual([subscribed.type, subscribed.id, subscribed.table], ["subscribed", "Shapes", "shapes"]);
      assert.equal(subscribed.token, before.sequence);
      const written = await client.write("shapes", rows);
      const got = await live.rows(2);
      assert.equal(got.token, written.sequence);
      assert.deepEqual(got.rows, await client.query("select * from shapes where v != 0 order by v desc"));
      const again = await live.subscribe({ id: "again", table: "shapes", from: before.sequence });
      assert.equal(again.type, "subscribed");
      assert.deepEqual((await live.rows(2)).rows, got.rows);
      await live.cut();
    });

    test("each subscription has its filter; the token moves on where nothing passes", async () => {
      const first = await client.write("filtered", [{ v: 0, host: "x" }]);
      const live = await LiveClient.open(
        server.url,
        `?id=q&table=filtered&filter=${encodeURIComponent("v >= 6 and host = 'x'")}`,
      );
      assert.equal((await live.next()).id, "q");
      assert.equal(
        (await live.subscribe({ id: "or", table: "filtered", filter: "v = 1) or (v = 3 -- or what" })).type,
        "subscribed",
      );
      assert.equal((await live.subscribe({ id: "none", table: "filtered", filter: "v > 100" })).type, "subscribed");
      const last = await client.write(
        "filtered",
        numbers(10).map(({ v }) => ({ v, host: v % 2 === 0 ? "x" : "y" })),
      );
      const seen: Record<string, unknown[]> = { q: [], or: [], none: [] };
      const tokens: Record<string, string> = {};
      while (Object.keys(tokens).length < 3) {
        const { type, id, rows = [], token = "" } = await live.next();
        assert.ok(type === "rows" || type === "progress", type);
        seen[String(id)]?.push(...rows.map(({ v }) => v));
        if (token === last.sequence) tokens[String(id)] = type;
      }
      assert.deepEqual(seen, { q: [6, 8], or: [1, 3], none: [] });
      assert.equal(tokens["none"], "progress");
      assert.notEqual(first.sequence, last.sequence);
      await live.cut();
    });

    test("without a credit nothing is sent", async () => {
      await client.write("credited", numbers(1));
      const live = await LiveClient.open(server.url);
      assert.equal((await live.subscribe({ table: "credited", credits: 2 })).type, "subscribed");
      for (let batch = 0; batch < 3; batch++) {
        await client.write("credited", numbers(10, batch * 10));
        await delay(100);
      }
      const two = [await live.next(), await live.next()];
      assert.deepEqual(
        two.flatMap(({ rows = [] }) => rows.map(({ v }) => v)),
        numbers(20).map(({ v }) => v),
      );
      const third = live.next();
      assert.equal(await Promise.race([third, delay(200, "nothing")]), "nothing");
      live.send({ type: "credit", id: "credited", credits: 5 });
      assert.equal((await third).rows?.length, 10);
      live.send({ type: "unsubscribe", id: "credited" });
      assert.equal((await live.next()).type, "unsubscribed");
      await live.cut();
    });

    test("a client that gives no credits is told, cut, and resumes with its token", async () => {
      await client.write("stuck", numbers(1));
      const live = await LiveClient.open(server.url);
      await live.subscribe({ table: "stuck", credits: 1 });
      await client.write("stuck", numbers(5));
      await live.rows(5);
      await client.write("stuck", numbers(5, 5));
      const told = await live.next();
      assert.deepEqual([told.type, told.id, told.code], ["error", "stuck", "TOO_MANY_REQUESTS"]);
      assert.equal((await live.subscribe({ table: "stuck", from: told.token ?? "" })).type, "subscribed");
      assert.deepEqual(
        (await live.rows(5)).rows.map(({ v }) => v),
        [5, 6, 7, 8, 9],
      );
      await live.cut();
    });

    test(
      "a client that does not read holds no more than its socket, is cut, and resumes without loss",
      { timeout: 60_000 },
      async () => {
        const wide = "x".repeat(1000);
        const { sequence: start } = await client.write("deaf", [{ v: -1, wide }]);
        const live = await LiveClient.open(server.url);
        await live.subscribe({ table: "deaf" });
        live.pause();
        for (let batch = 0; batch < 12; batch++) {
          await client.write(
            "deaf",
            numbers(1000, batch * 1000).map((row) => ({ ...row, wide })),
          );
        }
        await untilNobodySubscribes(client);
        const closing = live.closed();
        live.resume();
        // What was on its way, and then the end.
        const seen: unknown[] = [];
        let token = start;
        for (;;) {
          const reply = await Promise.race([live.next(), closing.then(() => null)]);
          if (reply === null || reply.type !== "rows") break;
          seen.push(...(reply.rows ?? []).map(({ v }) => v));
          token = reply.token ?? "";
        }
        assert.ok(seen.length < 12_000, `${seen.length} rows were sent to a client that does not read`);
        const second = await LiveClient.open(server.url);
        await second.subscribe({ table: "deaf", from: token });
        seen.push(...(await second.rows(12_000 - seen.length)).rows.map(({ v }) => v));
        assert.deepEqual(
          seen,
          numbers(12_000).map(({ v }) => v),
        );
        await second.cut();
      },
    );

    test("the table's columns change on the way", async () => {
      await client.write("changing", [{ v: 1 }]);
      await client.send("/v1/tables/changing/flush", { method: "POST" });
      const live = await LiveClient.open(server.url);
      const { token = "" } = await live.subscribe({ table: "changing" });
      await client.write("changing", [{ v: 2 }]);
      assert.deepEqual(
        (await live.rows(1)).rows.map(({ v, w }) => [v, w]),
        [[2, undefined]],
      );
      await client.write("changing", [{ v: 2.5, w: "new" }]);
      assert.deepEqual(
        (await live.rows(1)).rows.map(({ v, w }) => [v, w]),
        [[2.5, "new"]],
      );
      await client.send("/v1/tables/changing/flush", { method: "POST" });
      await client.write("changing", [{ v: 3, u: true }]);
      assert.deepEqual(
        (await live.rows(1)).rows.map(({ v, w, u }) => [v, w, u]),
        [[3, null, true]],
      );
      // What was written before a column was there, or was a long, reads like the rest.
      await live.subscribe({ id: "all", table: "changing", from: token, filter: "v > 1.5 and w is null" });
      const { rows } = await live.rows(2);
      assert.deepEqual(
        rows.map(({ v, w, u }) => [v, w, u]),
        [
          [2, null, null],
          [3, null, true],
        ],
      );
      await live.cut();
    });

    test("a dropped table ends its subscriptions", async () => {
      const { sequence } = await client.write("dropped", numbers(1));
      const live = await LiveClient.open(server.url);
      await live.subscribe({ table: "dropped" });
      await client.send("/v1/tables/dropped", { method: "DELETE" });
      const end = await live.next();
      assert.deepEqual([end.type, end.id, end.code], ["error", "dropped", "TABLE_NOT_FOUND"]);
      assert.equal((await live.subscribe({ table: "dropped" })).code, "TABLE_NOT_FOUND");
      await client.write("dropped", numbers(1));
      const expired = await live.subscribe({ table: "dropped", from: sequence });
      assert.equal(expired.code, "SEQUENCE_EXPIRED");
      assert.equal(
        (await live.subscribe({ table: "dropped", from: String(expired.details?.["oldest"]) })).type,
        "subscribed",
      );
      assert.deepEqual(
        (await live.rows(1)).rows.map(({ v }) => v),
        [0],
      );
      await live.cut();
    });

    test("a token whose rows are not kept says from where on they are", async () => {
      const first = await client.write("flushed", numbers(3));
      await client.send("/v1/tables/flushed/flush", { method: "POST" });
      const second = await client.write("flushed", numbers(2, 3));
      const live = await LiveClient.open(server.url);
      const zero = first.sequence.replace(/\..*/, ".0");
      const expired = await live.subscribe({ table: "flushed", from: zero });
      assert.deepEqual([expired.code, expired.details?.["oldest"]], ["SEQUENCE_EXPIRED", first.sequence]);
      assert.equal((await live.subscribe({ table: "flushed", from: first.sequence })).type, "subscribed");
      const got = await live.rows(2);
      assert.deepEqual([got.rows.map(({ v }) => v), got.token], [[3, 4], second.sequence]);
      await live.cut();
    });

    test("what cannot be is answered, and the connection goes on", async () => {
      await client.write("wrong", [{ v: 1, host: "a" }]);
      const live = await LiveClient.open(server.url);
      const messages: readonly [string, string][] = [
        ["{", "INVALID_REQUEST"],
        ["[]", "INVALID_REQUEST"],
        ['{"type":"drop"}', "INVALID_REQUEST"],
        ['{"type":"subscribe"}', "INVALID_REQUEST"],
        ['{"type":"subscribe","table":"a b"}', "INVALID_REQUEST"],
        ['{"type":"subscribe","table":"wrong","credits":0}', "INVALID_REQUEST"],
        ['{"type":"subscribe","table":"wrong","from":"yesterday"}', "INVALID_REQUEST"],
        ['{"type":"subscribe","table":"nowhere"}', "TABLE_NOT_FOUND"],
        ['{"type":"unsubscribe","id":"none"}', "INVALID_REQUEST"],
      ];
      for (const [message, code] of messages) {
        live.send(message);
        const reply = await live.next();
        assert.deepEqual([reply.type, reply.code], ["error", code], message);
      }
      assert.equal((await live.subscribe({ table: "wrong" })).type, "subscribed");
      assert.equal((await live.subscribe({ table: "wrong" })).code, "INVALID_REQUEST");
      for (let at = 1; at < 16; at++) {
        assert.equal((await live.subscribe({ id: `n${at}`, table: "wrong" })).type, "subscribed");
      }
      assert.equal((await live.subscribe({ id: "more", table: "wrong" })).code, "TOO_MANY_REQUESTS");
      await live.cut();
    });
  });
}

test("what is kept on disk is bounded in bytes and in time", { timeout: 60_000 }, async (t) => {
  const bounds = ["--live-retain-bytes", "1048576", "--live-retain-ms", "1500", "--live-slow-ms", "60000"];
  const server = await ServerProcess.start({ flags: bounds });
  t.after(() => server.dispose());
  const client = new HttpClient(() => server.url);
  const toldOfTime = await untilTime(server, client);
  const { sequence } = await client.write("bounded", [{ v: -1 }]);
  const live = await LiveClient.open(server.url);
  await live.subscribe({ table: "bounded", credits: 1 });
  await client.write("bounded", numbers(1));
  await live.rows(1);
  const wide = "x".repeat(1000);
  for (let batch = 0; batch < 8; batch++) {
    await client.write(
      "bounded",
      numbers(500, 1 + batch * 500).map((row) => ({ ...row, wide })),
    );
  }
  // It is behind by more than is kept, and told so.
  const told = await live.next();
  assert.deepEqual([told.type, told.id], ["error", "bounded"]);
  assert.ok(told.code === "TOO_MANY_REQUESTS" || told.code === "SEQUENCE_EXPIRED", told.code);
  const folder = join(server.folder, "live");
  const kept = (): string[] =>
    readdirSync(folder, { recursive: true })
      .map(String)
      .filter((name) => /\.(parquet|tail)$/.test(name));
  const bytes = (): number =>
    kept().reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
  while (bytes() > 1_048_576) await delay(100);
  // Not flushed yet: the owner has it all, whatever is on disk.
  assert.equal((await live.subscribe({ table: "bounded", from: sequence })).type, "subscribed");
  await live.cut();
  while (kept().length > 0) await delay(100);
  await client.send("/v1/tables/bounded/flush", { method: "POST" });
  const late = await LiveClient.open(server.url);
  assert.equal((await late.subscribe({ table: "bounded", from: sequence })).code, "SEQUENCE_EXPIRED");
  await late.cut();
  await toldOfTime.ended;
});

/** A client without credits has a row before it that no other follows. `ended`: it was told when the row went. */
async function untilTime(server: ServerProcess, client: HttpClient): Promise<{ readonly ended: Promise<void> }> {
  await client.write("quiet", [{ v: 0 }]);
  const live = await LiveClient.open(server.url);
  await live.subscribe({ table: "quiet", credits: 1 });
  await client.write("quiet", numbers(1));
  await live.rows(1);
  await client.write("quiet", numbers(1));
  const ended = live.next().then(async (told) => {
    assert.deepEqual([told.type, told.code], ["error", "SEQUENCE_EXPIRED"]);
    await live.cut();
  });
  return { ended };
}

async function untilNobodySubscribes(client: HttpClient): Promise<void> {
  for (;;) {
    const { body } = await client.send("/metrics");
    if (/^miniodb_live_subscriptions 0$/m.test(String(body))) return;
    await delay(100);
  }
}

/** uWebSockets.js has no binary for every Node and C library; the fallback runs everywhere. */
function implementations(): string[] {
  try {
    loadUws();
    return ["uws", "node"];
  } catch {
    return ["node"];
  }
}
