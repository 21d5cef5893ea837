/** Asks a server for a compaction, and waits for its end. */
import type { BenchServer } from "./bench-context.js";

export interface CompactionEnd {
  readonly state: string;
  readonly elapsed_ms: number;
  readonly files_in: number;
  readonly files_out: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly rows: number;
  readonly error: unknown;
}

interface Job extends CompactionEnd {
  readonly id: string;
  readonly ended_at: string | null;
}

const lookMs = 20;

/** A full one. `isWanted` is asked while it runs: at false it is cancelled. Throws where it fails. */
export async function compactTable(
  { client }: BenchServer,
  table: string,
  isWanted: () => boolean = () => true,
): Promise<CompactionEnd> {
  const path = `/v1/tables/${table}`;
  const reply = await client.sendJson(`${path}/compact`, { full: true });
  if (reply.status !== 200) throw new Error(`compact answered ${reply.status} ${JSON.stringify(reply.body)}`);
  let job = (reply.body as { readonly compaction: Job }).compaction;
  while (job.ended_at === null) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    if (!isWanted()) await client.send(`${path}/compactions/${job.id}`, { method: "DELETE" });
    job = (await client.send(`${path}/compactions/${job.id}`)).body as Job;
  }
  if (job.state === "failed") throw new Error(`the compaction failed: ${JSON.stringify(job.error)}`);
  return job;
}

/** Names the table's present state, which stays then. */
export async function tagTable({ client }: BenchServer, table: string, tag: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/tags/${tag}`, { method: "PUT", body: "{}" });
  if (reply.status !== 200) throw new Error(`the tag answered ${reply.status} ${JSON.stringify(reply.body)}`);
}

export async function rollBack({ client }: BenchServer, table: string, tag: string): Promise<void> {
  const reply = await client.sendJson(`/v1/tables/${table}/rollback`, { tag });
  if (reply.status !== 200) throw new Error(`rollback answered ${reply.status} ${JSON.stringify(reply.body)}`);
}
