/** POST /v1/query over kept connections: what the bench times on the server's side. */
import { Agent, request } from "node:http";
import type { Cell } from "../references/duckdb-job.js";

const agent = new Agent({ keepAlive: true });

export interface TimedReply {
  /** From the request to the reply's last byte. */
  readonly elapsedMs: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bodyBytes: number;
  /** Empty where the body was only counted. */
  readonly body: Buffer;
}

export interface SendQueryOptions {
  readonly url: string;
  readonly sql: string;
  readonly format?: string;
  /** Else its bytes are counted and let go, as a client does that reads a stream. */
  readonly isBodyKept: boolean;
}

/** Throws when the answer is not 200 or breaks off. */
export function sendQuery({ url, sql, format, isBodyKept }: SendQueryOptions): Promise<TimedReply> {
  const body = JSON.stringify({ sql, ...(format !== undefined && { format }) });
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(`${url}/v1/query`, { method: "POST", agent, headers }, (response) => {
      const pieces: Buffer[] = [];
      let bodyBytes = 0;
      const status = response.statusCode ?? 0;
      response.on("data", (piece: Buffer) => {
        bodyBytes += piece.length;
        if (isBodyKept || status !== 200) pieces.push(piece);
      });
      response.once("error", reject);
      response.once("end", () => {
        const kept = Buffer.concat(pieces);
        const elapsedMs = performance.now() - startMs;
        if (status === 200) resolve({ elapsedMs, status, headers: response.headers, bodyBytes, body: kept });
        else reject(new Error(`${sql.slice(0, 200)} answered ${status} ${kept.toString().slice(0, 500)}`));
      });
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

/** The rows in the order of the reply, each with its values in the order of the columns. */
export async function queryCells(url: string, sql: string): Promise<Cell[][]> {
  const { body } = await sendQuery({ url, sql, isBodyKept: true });
  const { result_json: text } = JSON.parse(body.toString()) as { readonly result_json: string };
  return (JSON.parse(text) as Record<string, Cell>[]).map((row) => Object.values(row));
}
