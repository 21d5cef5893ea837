/**
 * Bodies, made before the clock starts. All kinds describe the same sensor rows: seeded, so that two runs send the
 * same bytes, and varied, so that neither a cache nor a compressor finds one row repeated.
 *
 * ```
 * row-json         {"table":"t","id":"s-000017","timestamp":"2026-11-20T10:00:00.017Z","payload":{...}}   POST /v1/data
 * row-replace      the same   PUT /v1/data
 * ndjson           7 columns, about 140 bytes a row, numbers with two decimals
 * json-array       the same rows as one array (WebSocket)
 * msgpack-columns  5 columns: timestamp, device, status, temperature, count
 * arrow            the same 5 columns as an Arrow IPC stream
 * ```
 */
import {
  Float64,
  Int64,
  makeData,
  Table,
  tableToIPC,
  TimestampMicrosecond,
  Utf8,
  Vector,
  vectorFromArray,
} from "apache-arrow";
import { pack } from "msgpackr";
import { type Random, seededRandom } from "../harness/seeded-random.js";
import type { PayloadKind } from "./job.js";

/** Queries are no rows: their statements come with the job. */
type RowsKind = Exclude<PayloadKind, "query">;

export interface PayloadOptions {
  readonly kind: RowsKind;
  readonly table: string;
  readonly rowsPerRequest: number;
  /** How many different bodies. */
  readonly count: number;
  readonly seed: number;
}

export const contentTypes: Readonly<Record<PayloadKind, string>> = {
  "row-json": "application/json",
  "row-replace": "application/json",
  ndjson: "application/x-ndjson",
  "json-array": "application/json",
  "msgpack-columns": "application/msgpack",
  arrow: "application/vnd.apache.arrow.stream",
  query: "application/json",
};

/** Three days that lie in the past at any time of the run; each body stays within one of them, as a stream does. */
const firstMs = Date.UTC(2026, 10, 18);
const dayMs = 86_400_000;
const days = 3;
const statuses = ["ok", "ok", "ok", "warn", "fail"] as const;

export function makePayloads(options: PayloadOptions): Buffer[] {
  const random = seededRandom(options.seed);
  return Array.from({ length: options.count }, (_, index) => makePayload(options, random, index));
}

function makePayload({ kind, table, rowsPerRequest }: PayloadOptions, random: Random, index: number): Buffer {
  switch (kind) {
    case "row-json":
    case "row-replace":
      return Buffer.from(originalRow(table, random, index));
    case "ndjson":
      return Buffer.from(ndjsonRows(rowsPerRequest, random, index).join("\n") + "\n");
    case "json-array":
      return Buffer.from(`[${ndjsonRows(rowsPerRequest, random, index).join(",")}]`);
    case "msgpack-columns":
      return pack({ columns: columnValues(rowsPerRequest, random, index) });
    case "arrow":
      return arrowStream(columnValues(rowsPerRequest, random, index));
  }
}

function originalRow(table: string, random: Random, index: number): string {
  const timestamp = new Date(timestampMs(index, 0)).toISOString();
  const payload = {
    device: device(random),
    temperature: decimal(random, 40),
    humidity: decimal(random, 100),
    count: index,
  };
  return JSON.stringify({ table, id: `s-${String(index).padStart(6, "0")}`, timestamp, payload });
}

/** One line per row, without line ends. The decoder bench uses the same lines. */
export function ndjsonRows(rows: number, random: Random, index: number): string[] {
  return Array.from({ length: rows }, (_, row) =>
    JSON.stringify({
      id: `s-${String(index).padStart(4, "0")}-${String(row).padStart(5, "0")}`,
      timestamp: new Date(timestampMs(index, row)).toISOString(),
      device: device(random),
      temperature: decimal(random, 40),
      humidity: decimal(random, 100),
      status: statuses[random.integer(statuses.length)],
      count: random.integer(1_000_000),
    }),
  );
}

interface Columns {
  /** Milliseconds since 1970. */
  readonly timestamp: number[];
  readonly device: string[];
  readonly status: string[];
  readonly temperature: number[];
  readonly count: number[];
}

function columnValues(rows: number, random: Random, index: number): Columns {
  const make = <Value>(value: (row: number) => Value) => Array.from({ length: rows }, (_, row) => value(row));
  return {
    timestamp: make((row) => timestampMs(index, row)),
    device: make(() => device(random)),
    status: make(() => statuses[random.integer(statuses.length)] as string),
    temperature: make(() => random.fraction() * 40),
    count: make(() => random.integer(1_000_000)),
  };
}

function arrowStream(columns: Columns): Buffer {
  const micros = BigInt64Array.from(columns.timestamp, (ms) => BigInt(ms) * 1000n);
  const timestamp = new Vector([makeData({ type: new TimestampMicrosecond("UTC"), data: micros })]);
  const count = new Vector([makeData({ type: new Int64(), data: BigInt64Array.from(columns.count, BigInt) })]);
  const device = vectorFromArray(columns.device, new Utf8());
  const status = vectorFromArray(columns.status, new Utf8());
  const temperature = new Vector([makeData({ type: new Float64(), data: Float64Array.from(columns.temperature) })]);
  return Buffer.from(tableToIPC(new Table({ timestamp, device, status, temperature, count }), "stream"));
}

function timestampMs(index: number, row: number): number {
  return firstMs + (index % days) * dayMs + ((index * 60_000 + row * 7) % dayMs);
}

function device(random: Random): string {
  return `sensor-${String(random.integer(5_000)).padStart(4, "0")}`;
}

/** With at most two decimals. */
function decimal(random: Random, below: number): number {
  return random.integer(below * 100) / 100;
}
