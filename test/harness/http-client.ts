/** A small HTTP client for tests: JSON in and out, one pooled connection set per server address. */
import assert from "node:assert/strict";
import { request } from "undici";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed where the reply is JSON, else its text. */
  readonly body: unknown;
}

/** The reply to a write, of `/v1/tables/{table}/rows`; see the README. */
export interface WriteReply {
  readonly accepted: number;
  readonly rejected: number;
  readonly errors: readonly { readonly row: number; readonly column: string | null; readonly code: string }[];
  readonly durability: string;
  readonly sequence: string;
}

export interface Sending {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export class HttpClient {
  readonly #url: () => string;

  /** `url` is asked for each request, so that the client follows a server through restarts. */
  constructor(url: string | (() => string)) {
    this.#url = typeof url === "string" ? () => url : url;
  }

  async send(path: string, sending: Sending = {}): Promise<Reply> {
    const { method = sending.body === undefined ? "GET" : "POST", body = null, headers = {} } = sending;
    const response = await request(this.#url() + path, { method, body, headers: { ...headers } });
    const text = await response.body.text();
    const isJson = String(response.headers["content-type"] ?? "").startsWith("application/json");
    return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }

  sendJson(path: string, value: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.send(path, {
      method: "POST",
      body: JSON.stringify(value),
      headers: { "content-type": "application/json", ...headers },
    });
  }

  /** NDJSON rows to one table; throws when the answer is not 200. */
  async write(
    table: string,
    rows: readonly object[],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<WriteReply> {
    const reply = await this.send(`/v1/tables/${table}/rows`, {
      body: rows.map((row) => JSON.stringify(row)).join("\n"),
      headers: { "content-type": "application/x-ndjson", ...headers },
    });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return reply.body as WriteReply;
  }

  /** Rows as objects; throws when the answer is not 200. */
  async query<Row = Record<string, unknown>>(
    sql: string,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Row[]> {
    const reply = await this.sendJson("/v1/query", { sql, ...more });
    assert.equal(reply.status, 200, `${sql}: ${JSON.stringify(reply.body)}`);
    const { result_json: text } = reply.body as { readonly result_json: string };
    return JSON.parse(text) as Row[];
  }

  /** `select count(*)`; 0 when the table does not exist yet. */
  async count(table: string): Promise<number> {
    const reply = await this.sendJson("/v1/query", { sql: `select count(*) as n from ${table}` });
    if (reply.status === 404) return 0;
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    const [row] = JSON.parse((reply.body as { readonly result_json: string }).result_json) as { readonly n: number }[];
    return Number(row?.n);
  }
}
