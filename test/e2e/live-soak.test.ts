/**
 * Live queries under everything at once: writers, tiny flushes, compaction, clients that cut their connection, and a
 * server that is stopped, or killed, and started again. Each client gets every accepted row once, in sequence order.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parseToken } from "../../src/shared/sequence-token.js";
import { HttpClient, type Reply, type WriteReply } from "../harness/http-client.js";
import { LiveClient, type LiveReply } from "../harness/live-client.js";
import { seededRandom, type SeededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, someOf } from "../harness/test-size.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Times as much as by default, for long runs. */
const scale = Number(process.env["MINIODB_TEST_LIVE_SCALE"] ?? 1);
const batchesPerWriter = 16 * scale;
const restartsMax = scale;
const writers = 3;
const deadlineMs = 60_000;

const flags =
  "--flush-rows 40 --flush-interval-ms 150 --live-interval-ms 5 --compaction-interval-ms 200 --compaction-small-files-min 3".split(
    " ",
  );

const disturbances = ["worker", "stop", "kill"] satisfies Disturbance[];

interface Batch {
  readonly lastSequence: number;
  readonly values: readonly string[];
}

/** Writes under batch ids until each batch is acknowledged, whatever happens to the server meanwhile. */
async function writeAll(client: HttpClient, writer: number, random: SeededRandom, pauseMs: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let batch = 0; batch < batchesPerWriter; batch++) {
    const values = Array.from({ length: 1 + random.integer(20) }, (_, row) => `${writer}-${batch}-${row}`);
    // A new column, and a long that becomes double, on the way.
    const extra = batch % 8 === 7 ? { [`extra_${writer}_${batch}`]: true } : {};
    const number = batch === 7 && writer === 0 ? 0.5 : batch;
    const body = values.map((value) => JSON.stringify({ value, writer, number, ...extra })).join("\n");
    const headers = { "content-type": "application/x-ndjson", "idempotency-key": `${writer}-${batch}` };
    for (;;) {
      const reply: Reply | null = await client.send("/v1/tables/soak/rows", { body, headers }).catch(() => null);
      if (reply?.status === 200) {
        batches.push({ lastSequence: parseToken((reply.body as WriteReply).sequence).sequence, values });
        break;
      }
      await delay(50);
    }
    await delay(random.integer(pauseMs));
  }
  return batches;
}

/** A client that follows the table through cuts, always with its last token. */
class Follower {
  readonly seen: string[] = [];
  readonly errors: LiveReply[] = [];
  cuts = 0;
  #token: string;
  #live: LiveClient | null = null;
  readonly #server: () => string;
  readonly #filter: string | undefined;
  #isDone = false;

  constructor(server: () => string, token: string, filter?: string) {
    this.#server = server;
    this.#token = token;
    this.#filter = filter;
  }

  /** Until `stop`; a connection that cannot be had is tried again. */
  async run(): Promise<void> {
    while (!this.#isDone) {
      try {
        const live = await LiveClient.open(this.#server(), "", (reply) => this.#take(live, reply));
        this.#live = live;
        const filter = this.#filter === undefined ? {} : { filter: this.#filter };
        live.send({ type: "subscribe", id: "s", table: "soak", from: this.#token, ...filter });
        await live.closed();
      } catch {
        await delay(50);
      }
    }
  }

  async cut(): Promise<void> {
    this.cuts++;
    // What still arrives from the old connection must not count.
    const live = this.#live;
    this.#live = null;
    await live?.cut();
  }

  async stop(): Promise<void> {
    this.#isDone = true;
    await this.cut();
  }

  #take(live: LiveClient, reply: LiveReply): void {
    if (this.#live !== live && this.#live !== null) return;
    if (reply.type === "error") {
      this.errors.push(reply);
      void live.cut();
      return;
    }
    for (const { value } of reply.rows ?? []) this.seen.push(String(value));
    if (reply.type !== "subscribed" && reply.token !== undefined) this.#token = reply.token;
  }
}

type Disturbance = "stop" | "kill" | "worker";

for (const disturbance of scale > 1 ? disturbances : someOf(disturbances, 1)) {
  test(`every row once and in order (${disturbance}; seed ${seed})`, { timeout: 120_000 }, async (t) => {
    const random = seededRandom(seed);
    // The ingest worker dies once, in the middle.
    const env: Record<string, string> = disturbance === "worker" ? { MINIODB_FAILPOINT: "ingest.round:80:error" } : {};
    const server = await ServerProcess.start({ flags, env });
    t.after(() => server.dispose());
    const client = new HttpClient(() => server.url);
    const { sequence: start } = await client.write("soak", [{ value: "first", writer: -1, number: 1 }]);
    const all = new Follower(() => server.url, start);
    const steady = new Follower(() => server.url, start);
    const some = new Follower(() => server.url, start, "writer = 1 and number != 7");
    const followers = [all, steady, some];
    const following = followers.map((follower) => follower.run());
    const pauseMs = disturbance === "worker" ? 20 : 100;
    const writing = Promise.all(
      Array.from({ length: writers }, (_, writer) => writeAll(client, writer, seededRandom(seed + writer), pauseMs)),
    );
    let restarts = 0;
    let isWriting = true;
    void writing.finally(() => (isWriting = false));
    while (isWriting) {
      await delay(100 + random.integer(300));
      await random.pick([all, some]).cut();
      const isRestarting = disturbance !== "worker";
      if (!isRestarting || restarts === restartsMax || random.integer(3) > 0) continue;
      restarts++;
      await (disturbance === "kill" ? server.kill() : server.stop());
      await server.restart();
    }
    const batches = (await writing).flat().toSorted((left, right) => left.lastSequence - right.lastSequence);
    const expected = batches.flatMap(({ values }) => values);
    const isSome = (value: string): boolean => value.startsWith("1-") && !value.startsWith("1-7-");
    const expectedOf = (follower: Follower): string[] => (follower === some ? expected.filter(isSome) : expected);
    const endMs = Date.now() + deadlineMs;
    for (const follower of followers) {
      while (follower.seen.length < expectedOf(follower).length && Date.now() < endMs) await delay(50);
    }
    await delay(200);
    for (const follower of followers) await follower.stop();
    await Promise.all(following);
    for (const follower of followers) {
      assert.deepEqual(
        follower.errors.filter(({ code }) => code !== "SHUTTING_DOWN" && code !== "WORKER_LOST"),
        [],
      );
      assert.deepEqual(follower.seen, expectedOf(follower));
    }
    if (disturbance === "worker") assert.match(server.output, /an ingest worker died and is replaced/);
    assert.deepEqual(await client.query("select count(*) as n from soak"), [{ n: expected.length + 1 }]);
    t.diagnostic(`${expected.length} rows, ${followers.reduce((sum, { cuts }) => sum + cuts, 0)} cuts`);
  });
}

test("rows of durability memory are sent once the log holds them, and never otherwise", async (t) => {
  const server = await ServerProcess.start({ flags });
  t.after(() => server.dispose());
  const client = new HttpClient(() => server.url);
  const { sequence: start } = await client.write("soak", [{ value: "first" }]);
  for (let life = 0; life < (scale > 1 ? 2 : sized(1, 2)); life++) {
    const follower = new Follower(() => server.url, start);
    const following = follower.run();
    let written = 0;
    const writing = (async () => {
      for (;;) {
        const rows = Array.from({ length: 5 }, () => ({ value: `${life}-${written++}` }));
        const body = rows.map((row) => JSON.stringify(row)).join("\n");
        const headers = { "content-type": "application/x-ndjson" };
        await client.send("/v1/tables/soak/rows?durability=memory", { body, headers });
        await delay(2);
      }
    })().catch(() => {});
    while (follower.seen.length < 100) await delay(20);
    await server.kill();
    await writing;
    await follower.stop();
    await server.restart();
    await following;
    const kept = await client.query<{ value: string }>("select value from soak where value != 'first'");
    const values = new Set(kept.map(({ value }) => value));
    assert.deepEqual(
      follower.seen.filter((value) => !values.has(value)),
      [],
      "what was sent has outlived the kill",
    );
    assert.equal(new Set(follower.seen).size, follower.seen.length);
  }
});
