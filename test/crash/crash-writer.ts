/**
 * A client that remembers what it was promised: every batch it sent, whether it was acknowledged, and which batches it must
 * send again under the same batch id. After a restart `verify` compares that with what SQL sees.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import type { SeededRandom } from "../harness/seeded-random.js";
import { sized } from "../harness/test-size.js";

interface SentBatch {
  readonly table: string;
  readonly ids: readonly string[];
  readonly body: string;
  /** Empty: sent without one, so never repeated. */
  readonly batchId: string;
  /** Of mixed operations: rows that come and go in it, and deletes of all rows of this one, which was acknowledged before. */
  readonly deletes: SentBatch | undefined;
  readonly rowCount: number;
  isAcknowledged: boolean;
  /** By a batch that was sent, whatever came of it. */
  deletedBy?: SentBatch;
}

export interface CrashWriterOptions {
  readonly random: SeededRandom;
  readonly tables: readonly string[];
  readonly connections: number;
  /** The table that no write of which asks for durability `stored`, which would flush it. */
  readonly neverStored?: string;
  /** None asks for it: such writes wait while the store is away, and soon every connection would. */
  readonly isStoredAvoided?: boolean;
}

const day = 24 * 60 * 60 * 1000;
/** So that a short life fills several segments of the log. */
const filler = "f".repeat(400);
const startMs = Date.UTC(2026, 10, 20);
/**
 * Of each connection between two batches. A small run writes a megabyte or two a second, so that the processors are not busy
 * with the writing alone; what asks for more kills or longer outages writes as fast as it can.
 */
const pauseMs = /^MINIODB_TEST_(?:.*KILLS|OUTAGE_MS|POWER_LOSSES)$/m.test(Object.keys(process.env).join("\n"))
  ? 0
  : sized(30, 0);

export class CrashWriter {
  readonly #options: CrashWriterOptions;
  readonly #client: HttpClient;
  readonly #sent: SentBatch[] = [];
  #url = "";
  #lastId = 0;
  #isRunning = false;
  #loops: Promise<void>[] = [];

  constructor(options: CrashWriterOptions) {
    this.#options = options;
    this.#client = new HttpClient(() => this.#url);
  }

  get acknowledgedRows(): number {
    return this.#sent.reduce((rows, batch) => rows + (batch.isAcknowledged ? batch.ids.length : 0), 0);
  }

  /** Writes from several connections until `stop`, first what was not acknowledged and has a batch id. */
  start(url: string): void {
    this.#url = url;
    this.#isRunning = true;
    const again = this.#sent.filter((batch) => !batch.isAcknowledged && batch.batchId !== "");
    this.#loops = Array.from({ length: this.#options.connections }, () => this.#loop(again));
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#loops);
  }

  /**
   * Acknowledged rows are there once; others at most once, and a batch as a whole or not at all; nothing else is. Where a batch
   * deletes another's rows, one of the two is there.
   */
  async verify(url: string): Promise<void> {
    this.#url = url;
    for (const table of this.#options.tables) {
      const batches = this.#sent.filter((batch) => batch.table === table);
      if (!batches.some((batch) => batch.isAcknowledged)) continue;
      const rows = await this.#client.query<{ id: string; n: number }>(
        `select id, count(*) as n from ${table} group by id`,
      );
      const counts = new Map(rows.map(({ id, n }) => [id, n]));
      const isThere = ({ ids }: SentBatch): boolean => counts.get(ids[0] ?? "") !== undefined;
      const there = new Set(batches.filter(isThere));
      for (const batch of batches) {
        const found = batch.ids.map((id) => counts.get(id) ?? 0);
        const label = `${table}: batch of ${batch.ids[0]} (${batch.isAcknowledged ? "acknowledged" : "not answered"})`;
        assert.ok(Math.max(...found) <= 1, `${label} is there ${Math.max(...found)} times`);
        assert.equal(new Set(found).size, 1, `${label} is there in part: ${found.join("")}`);
        const { deletedBy } = batch;
        if (deletedBy !== undefined && deletedBy.deletedBy === undefined) {
          assert.equal(
            found[0],
            there.has(deletedBy) ? 0 : 1,
            `${label} or the batch that deletes it is there, not both`,
          );
        } else if (deletedBy !== undefined) assert.equal(found[0], 0, `${label} is deleted`);
        else if (batch.isAcknowledged) assert.equal(found[0], 1, `${label} is lost`);
        for (const id of batch.ids) counts.delete(id);
      }
      assert.deepEqual([...counts.keys()], [], `${table} has rows that nobody sent`);
    }
  }

  async #loop(again: SentBatch[]): Promise<void> {
    while (this.#isRunning) {
      const batch = again.pop() ?? this.#newBatch();
      const isAlive = await this.#send(batch);
      if (!isAlive) return;
      if (pauseMs > 0) await delay(pauseMs);
    }
  }

  #newBatch(): SentBatch {
    const { random, tables } = this.#options;
    const table = random.pick(tables);
    const count = random.integer(4) === 0 ? 1 : 1 + random.integer(60);
    const ids = Array.from({ length: count }, () => `r${++this.#lastId}`);
    const rows = ids.map((id) => {
      const timestamp = new Date(startMs + random.integer(3 * day)).toISOString();
      // Columns appear late, and a long column meets a fraction once some of it is in files.
      const late = this.#lastId > 500 ? { late: `text ${id}` } : {};
      const value = this.#lastId > 1000 && random.integer(50) === 0 ? 1.5 : random.integer(1000);
      return { timestamp, id, value, host: `host-${random.integer(10)}`, filler, ...late };
    });
    const batchId = random.integer(2) === 0 ? `b${this.#lastId}` : "";
    const deletes = random.integer(4) === 0 ? this.#deletable(table) : undefined;
    const all = deletes === undefined ? rows : this.#mix(rows, deletes);
    const body = all.map((row) => JSON.stringify(row)).join("\n");
    const batch: SentBatch = { table, ids, body, batchId, deletes, rowCount: all.length, isAcknowledged: false };
    if (deletes !== undefined) deletes.deletedBy = batch;
    this.#sent.push(batch);
    return batch;
  }

  /** One that is there for sure, and that no other deletes. */
  #deletable(table: string): SentBatch | undefined {
    const { random } = this.#options;
    for (let attempt = 0; attempt < 10 && this.#sent.length > 0; attempt++) {
      const batch = random.pick(this.#sent);
      if (batch.table === table && batch.isAcknowledged && batch.deletedBy === undefined) return batch;
    }
    return undefined;
  }

  /** The rows, inserted or replacing, among rows that come and go, and deletes of the other batch's. */
  #mix(rows: readonly { readonly id: string }[], { ids }: SentBatch): object[] {
    const { random } = this.#options;
    const mixed: object[] = [];
    const gone = [...ids];
    for (const row of rows) {
      mixed.push({ ...row, _op: random.pick(["insert", "replace", null]) });
      const passing = { ...row, id: `passing-${row.id}` };
      if (random.integer(4) === 0) mixed.push({ ...passing, _op: "insert" }, { id: passing.id, _op: "delete" });
      mixed.push(...gone.splice(0, random.integer(3)).map((id) => ({ id, _op: "delete" })));
    }
    return [...mixed, ...gone.map((id) => ({ id, _op: "delete" }))];
  }

  /** False when the server is gone. */
  async #send(batch: SentBatch): Promise<boolean> {
    const { random, neverStored, isStoredAvoided = false } = this.#options;
    const mayStore = batch.table !== neverStored && !isStoredAvoided;
    const durability = random.integer(40) === 0 && mayStore ? "stored" : "fsync";
    const headers = {
      "content-type": "application/x-ndjson",
      ...(batch.batchId === "" ? {} : { "idempotency-key": batch.batchId }),
    };
    const mode = batch.deletes === undefined ? "" : "&mode=operations";
    let reply;
    try {
      reply = await this.#client.send(`/v1/tables/${batch.table}/rows?durability=${durability}${mode}`, {
        body: batch.body,
        headers,
      });
    } catch {
      return false;
    }
    if (reply.status === 200) {
      const { accepted } = reply.body as { readonly accepted: number };
      assert.equal(accepted, batch.rowCount, JSON.stringify(reply.body));
      batch.isAcknowledged = true;
      return true;
    }
    // Nothing was promised; a failpoint that makes an error is answered like this.
    assert.ok(reply.status >= 500, `${reply.status}: ${JSON.stringify(reply.body)}`);
    await delay(20);
    return true;
  }
}
