/**
 * A client that remembers what it was promised: every batch it sent, whether it was acknowledged, and which batches it must
 * send again under the same batch id. After a restart `verify` compares that with what SQL sees.
 */
import assert from "node:assert/strict";
import { HttpClient } from "../harness/http-client.js";
import type { SeededRandom } from "../harness/seeded-random.js";

interface SentBatch {
  readonly table: string;
  readonly ids: readonly string[];
  readonly body: string;
  /** Empty: sent without one, so never repeated. */
  readonly batchId: string;
  isAcknowledged: boolean;
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

  /** Acknowledged rows are there once; others at most once, and a batch as a whole or not at all; nothing else is. */
  async verify(url: string): Promise<void> {
    this.#url = url;
    for (const table of this.#options.tables) {
      const batches = this.#sent.filter((batch) => batch.table === table);
      if (!batches.some((batch) => batch.isAcknowledged)) continue;
      const rows = await this.#client.query<{ id: string; n: number }>(
        `select id, count(*) as n from ${table} group by id`,
      );
      const counts = new Map(rows.map(({ id, n }) => [id, n]));
      for (const batch of batches) {
        const found = batch.ids.map((id) => counts.get(id) ?? 0);
        const label = `${table}: batch of ${batch.ids[0]} (${batch.isAcknowledged ? "acknowledged" : "not answered"})`;
        assert.ok(Math.max(...found) <= 1, `${label} is there ${Math.max(...found)} times`);
        assert.equal(new Set(found).size, 1, `${label} is there in part: ${found.join("")}`);
        if (batch.isAcknowledged) assert.equal(found[0], 1, `${label} is lost`);
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
      return JSON.stringify({ timestamp, id, value, host: `host-${random.integer(10)}`, filler, ...late });
    });
    const batchId = random.integer(2) === 0 ? `b${this.#lastId}` : "";
    const batch: SentBatch = { table, ids, body: rows.join("\n"), batchId, isAcknowledged: false };
    this.#sent.push(batch);
    return batch;
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
    let reply;
    try {
      reply = await this.#client.send(`/v1/tables/${batch.table}/rows?durability=${durability}`, {
        body: batch.body,
        headers,
      });
    } catch {
      return false;
    }
    if (reply.status === 200) {
      const { accepted } = reply.body as { readonly accepted: number };
      assert.equal(accepted, batch.ids.length, JSON.stringify(reply.body));
      batch.isAcknowledged = true;
      return true;
    }
    // Nothing was promised; a failpoint that makes an error is answered like this.
    assert.ok(reply.status >= 500, `${reply.status}: ${JSON.stringify(reply.body)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return true;
  }
}
