import type { LoadJob, PayloadKind } from "./job.js";
import type { Channel, Outcome } from "./load-loop.js";
import { WebSocketConnection } from "./websocket-connection.js";

type Done = (outcome: Outcome, detail: string) => void;

/** Names of the formats in the query string of /v1/stream. */
const formats: Readonly<Partial<Record<PayloadKind, string>>> = {
  ndjson: "ndjson",
  "json-array": "json",
  "msgpack-columns": "msgpack",
  arrow: "arrow",
};
const seqPattern = /"seq":(\d+)/;
const acceptedPattern = /"accepted":(\d+)/;
const busyPattern = /"code":"(?:SERVER_BUSY|TOO_MANY_REQUESTS|WAL_STALLED)"/;

/**
 * `inFlightPerConnection` channels per connection. A message is `{"seq":<channel>}\n<body>`, and the reply names the
 * same seq, so replies may come in any order. Table and format stand in the query string.
 */
export async function openWebSocketChannels(
  job: LoadJob,
  bodies: readonly Buffer[],
  onBroken: (reason: string) => void,
): Promise<Channel[]> {
  const format = formats[job.payload];
  if (format === undefined) throw new Error(`${job.payload} does not go over WebSocket`);
  const path = `/v1/stream?table=${job.table}&format=${format}`;
  const channels = await Promise.all(
    Array.from({ length: job.connections }, () => openConnection(new URL(job.url), path, { job, bodies, onBroken })),
  );
  return channels.flat();
}

interface ConnectionOptions {
  readonly job: LoadJob;
  readonly bodies: readonly Buffer[];
  readonly onBroken: (reason: string) => void;
}

async function openConnection(url: URL, path: string, options: ConnectionOptions): Promise<Channel[]> {
  const { job, bodies, onBroken } = options;
  const waiting: (Done | undefined)[] = [];
  const onText = (text: string) => {
    const seq = seqPattern.exec(text)?.[1];
    // Notices of the server, such as its greeting, carry no seq.
    if (seq === undefined) return;
    const done = waiting[Number(seq)];
    waiting[Number(seq)] = undefined;
    if (done === undefined) onBroken(`a reply to nothing: ${text}`);
    else if (Number(acceptedPattern.exec(text)?.[1]) === job.rowsPerRequest) done("accepted", "");
    else done(busyPattern.test(text) ? "busy" : "failed", text);
  };
  const connection = await WebSocketConnection.open(url, path, { onText, onEnd: onBroken });
  return Array.from({ length: job.inFlightPerConnection }, (_, slot) => {
    const head = Buffer.from(`{"seq":${slot}}\n`);
    return {
      send(payload: number, done: Done) {
        waiting[slot] = done;
        connection.send(head, bodies[payload] as Buffer);
      },
    };
  });
}
