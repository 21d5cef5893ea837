/**
 * MessagePack, bytes to columns, on one core: 1,000 rows × 5 columns (timestamp, double, integer, two strings) as
 * columns and as rows, against msgpackr's `unpack` of the same bytes, which makes JavaScript values and no columns.
 *
 *   node dist/bench/micro/decode-msgpack.js [rounds]
 */
import { Packr, unpack } from "msgpackr";
import { decodeMsgpackColumns } from "../../src/workers/decode/decode-msgpack-columns.js";
import { decodeMsgpackRows } from "../../src/workers/decode/decode-msgpack-rows.js";
import { makePayloads } from "../load/payloads.js";
import { decodeOnce, inSharedMemory, newBuilder, print, rowsPerSecond, type Contestant } from "./decode-turns.js";

const rows = 1_000;
const bodyCount = 50;
const rounds = Number(process.argv[2] ?? "60");

const columnBodies = makePayloads({
  kind: "msgpack-columns",
  table: "t",
  rowsPerRequest: rows,
  count: bodyCount,
  seed: 1,
});
const packr = new Packr({ useRecords: false });
const rowBodies = columnBodies.map((body) => {
  const { columns } = packr.unpack(body) as { readonly columns: Readonly<Record<string, readonly unknown[]>> };
  const names = Object.keys(columns);
  return packr.pack(
    Array.from({ length: rows }, (_, row) => Object.fromEntries(names.map((name) => [name, columns[name]?.[row]]))),
  );
});
const sharedColumns = inSharedMemory(columnBodies);
const sharedRows = inSharedMemory(rowBodies);
const builder = newBuilder();

const contestants: readonly Contestant[] = [
  {
    name: "columnar MessagePack, decodeMsgpackColumns",
    turn: () => {
      for (const body of sharedColumns) decodeOnce(decodeMsgpackColumns, body, builder, rows);
    },
  },
  {
    name: "columnar MessagePack, msgpackr.unpack alone",
    turn: () => {
      for (const body of columnBodies) unpack(body);
    },
  },
  {
    name: "MessagePack rows, decodeMsgpackRows",
    turn: () => {
      for (const body of sharedRows) decodeOnce(decodeMsgpackRows, body, builder, rows);
    },
  },
  {
    name: "MessagePack rows, msgpackr.unpack alone",
    turn: () => {
      for (const body of rowBodies) unpack(body);
    },
  },
];

print(contestants, rowsPerSecond(contestants, rows * bodyCount, rounds));
