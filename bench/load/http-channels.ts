import { HttpConnection, httpRequest } from "./http-connection.js";
import type { LoadJob } from "./job.js";
import type { Channel } from "./load-loop.js";
import { contentTypes } from "./payloads.js";

/** One channel per connection. `onBroken` is told when a connection ends before it should. */
export async function openHttpChannels(
  job: LoadJob,
  bodies: readonly Buffer[],
  onBroken: (reason: string) => void,
): Promise<Channel[]> {
  const url = new URL(job.url);
  const path = pathOf(job);
  const method = job.payload === "row-replace" ? "PUT" : "POST";
  const requests = bodies.map((body) => httpRequest(url, `${method} ${path}`, contentTypes[job.payload], body));
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => HttpConnection.open(url, onBroken)),
  );
  return connections.map((connection) => ({
    send(payload, done) {
      connection.send(requests[payload] as Buffer, (status, body) => {
        if (status === 200) done("accepted", "");
        else done(status === 429 || status === 503 ? "busy" : "failed", `${status} ${body}`);
      });
    },
  }));
}

function pathOf({ payload, table }: LoadJob): string {
  if (payload === "query") return "/v1/query";
  return payload === "row-json" || payload === "row-replace" ? "/v1/data" : `/v1/tables/${table}/rows`;
}
