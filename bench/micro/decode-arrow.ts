/**
 * Arrow IPC, bytes to columns, on one core: 10,000 rows × 5 columns (timestamp, double, integer, two strings) against
 * apache-arrow's `tableFromIPC` of the same bytes, which makes views and looks at no value.
 *
 *   node dist/bench/micro/decode-arrow.js [rounds]
 */
import { tableFromIPC } from "apache-arrow";
import { decodeArrow } from "../../src/workers/decode/decode-arrow.js";
import { makePayloads } from "../load/payloads.js";
import { decodeOnce, inSharedMemory, newBuilder, print, rowsPerSecond, type Contestant } from "./decode-turns.js";

const rows = 10_000;
const bodyCount = 10;
const rounds = Number(process.argv[2] ?? "60");

const bodies = makePayloads({ kind: "arrow", table: "t", rowsPerRequest: rows, count: bodyCount, seed: 1 });
const sharedBodies = inSharedMemory(bodies);
const builder = newBuilder();

const contestants: readonly Contestant[] = [
  {
    name: "Arrow IPC, decodeArrow",
    turn: () => {
      for (const body of sharedBodies) decodeOnce(decodeArrow, body, builder, rows);
    },
  },
  {
    name: "Arrow IPC, apache-arrow tableFromIPC alone (views)",
    turn: () => {
      for (const body of bodies) tableFromIPC(body);
    },
  },
];

print(contestants, rowsPerSecond(contestants, rows * bodyCount, rounds));
