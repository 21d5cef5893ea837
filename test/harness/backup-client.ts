/** Backups and restores over REST, for tests. */
import assert from "node:assert/strict";
import type { HttpClient, Reply } from "./http-client.js";

type Body = Readonly<Record<string, unknown>>;

export class BackupClient {
  readonly #client: HttpClient;

  constructor(client: HttpClient) {
    this.#client = client;
  }

  async create(body: object = {}): Promise<Body & { readonly backup_id: string }> {
    return (await this.#ok("/v1/metadata/backup", body)) as Body & { readonly backup_id: string };
  }

  async restore(body: object): Promise<Body> {
    return this.#ok("/v1/metadata/restore", body);
  }

  async list(): Promise<readonly Body[]> {
    const reply = await this.#client.send("/v1/metadata/backups?days=0");
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return ((reply.body as Body)["backups"] ?? []) as readonly Body[];
  }

  async ids(): Promise<readonly unknown[]> {
    return (await this.list()).map((backup) => backup["backup_id"]);
  }

  async status(): Promise<Body> {
    return (await this.#client.send("/v1/metadata/status")).body as Body;
  }

  /** Reads every byte. Answers the problems. */
  async verify(id: string): Promise<readonly string[]> {
    const reply = await this.#ok(`/v1/metadata/backups/${id}/verify`, { deep: true });
    assert.equal(reply["success"], (reply["problems"] as readonly string[]).length === 0);
    return reply["problems"] as readonly string[];
  }

  remove(id: string): Promise<Reply> {
    return this.#client.send(`/v1/metadata/backups/${id}`, { method: "DELETE" });
  }

  async #ok(path: string, body: object): Promise<Body> {
    const reply = await this.#client.sendJson(path, body);
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return reply.body as Body;
  }
}

/** The exact texts of what queries answer; `names` are the tables' names now, by those that they had. */
export async function answersOf(
  client: HttpClient,
  tables: readonly string[],
  names: Readonly<Record<string, string>> = {},
): Promise<readonly unknown[]> {
  const answers: unknown[] = [];
  for (const table of tables) {
    const name = names[table] ?? table;
    for (const sql of [
      `SELECT * FROM ${name}`,
      `SELECT * FROM ${name} ORDER BY id`,
      `SELECT count(*) AS n FROM ${name}`,
    ]) {
      const reply = await client.sendJson("/v1/query", { sql });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      answers.push((reply.body as Body)["result_json"]);
    }
  }
  return answers;
}
