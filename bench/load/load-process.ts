/** The load generator, a process of its own: takes one job, prepares, waits for `go`, sends, answers with the result. */
import { openHttpChannels } from "./http-channels.js";
import type { FromLoad, LoadJob, ToLoad } from "./job.js";
import { LoadLoop } from "./load-loop.js";
import { makePayloads } from "./payloads.js";
import { openWebSocketChannels } from "./websocket-channels.js";

/** Different bodies of a run: enough of them that no cache knows them, few enough that they stay in memory. */
const payloadBytesTotal = 64 * 1024 * 1024;
const payloadsMax = 4096;
const payloadsMin = 16;
/** Making rows takes time that a run should not spend on it. */
const rowsMax = 300_000;

function tell(message: FromLoad): void {
  process.send?.(message);
}

function makeBodies({ payload, table, rowsPerRequest, seed, statements = [] }: LoadJob): Buffer[] {
  if (payload === "query") return statements.map((sql) => Buffer.from(JSON.stringify({ sql })));
  const options = { kind: payload, table, rowsPerRequest, seed };
  const [sample] = makePayloads({ ...options, count: 1 });
  const fitting = Math.floor(payloadBytesTotal / (sample?.length ?? 1));
  const count = Math.max(payloadsMin, Math.min(payloadsMax, fitting, Math.ceil(rowsMax / rowsPerRequest)));
  return makePayloads({ ...options, count });
}

async function prepare(job: LoadJob): Promise<LoadLoop> {
  const bodies = makeBodies(job);
  let loop: LoadLoop | null = null;
  const open = job.transport === "http" ? openHttpChannels : openWebSocketChannels;
  const channels = await open(job, bodies, (reason) => loop?.fail(reason));
  const payloadBytes = bodies.map((body) => body.length);
  return new Promise((resolve) => {
    process.once("message", () => {
      loop = new LoadLoop({ job, channels, payloadBytes, onWindow: (kind) => tell({ kind }) });
      resolve(loop);
    });
    tell({ kind: "ready" });
  });
}

process.once("message", (message: ToLoad) => {
  if (message.kind !== "prepare") return;
  prepare(message.job)
    .then((loop) => loop.run())
    .then((result) => {
      process.send?.({ kind: "result", result } satisfies FromLoad, () => process.exit(0));
    })
    .catch((error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.send?.({ kind: "failed", message: text } satisfies FromLoad, () => process.exit(1));
    });
});
// The bench ended, by whatever: nobody wants the load any more.
process.once("disconnect", () => process.exit(0));
