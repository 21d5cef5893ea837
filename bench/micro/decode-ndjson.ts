/**
 * The NDJSON decoder alone, bytes to columns on one core, against JSON.parse of the same lines as ready-made strings
 * (which makes objects and no columns): a timestamp, two strings, an integer and three numbers a row. Bodies of 1,000
 * rows in shared memory; alternating turns; the ratio is the median of the turns' ratios. The decoded doubles are
 * compared with JSON.parse's before the clock starts.
 *
 *   node dist/bench/micro/decode-ndjson.js [rounds]
 */
import assert from "node:assert/strict";
import { decodeNdjson } from "../../src/workers/decode/decode-ndjson.js";
import { median } from "../harness/measurement.js";
import { type Random, seededRandom } from "../harness/seeded-random.js";
import { decodeOnce, inSharedMemory, newBuilder } from "./decode-turns.js";

const rows = 1_000;
const bodyCount = 20;
const rounds = Number(process.argv[2] ?? "120");

type Line = Record<string, unknown>;

/** The rows that everybody measures, and rows that the decoder's expectations fit less well. */
const cases: readonly { readonly name: string; readonly change: (row: Line, index: number) => string }[] = [
  { name: "two-decimal numbers", change: (row) => JSON.stringify(row) },
  { name: "17-digit doubles", change: (row) => JSON.stringify(withLongDoubles(row)) },
  { name: "space behind colons and commas", change: (row) => spaced(row) },
  { name: "every third row lacks a key", change: (row, index) => JSON.stringify(withoutKey(row, index)) },
  { name: "escapes and umlauts in a string", change: (row) => JSON.stringify({ ...row, note: 'grün\n"quoted"' }) },
];

for (const { name, change } of cases) {
  const random = seededRandom(7);
  const lines = Array.from({ length: rows * bodyCount }, (_, index) => change(makeRow(random, index), index));
  // Flat one-byte strings, as a server would have cut them from a body.
  const texts = lines.map((line) => Buffer.from(line).toString());
  const bodies = Array.from({ length: bodyCount }, (_, body) =>
    Buffer.from(`${lines.slice(body * rows, (body + 1) * rows).join("\n")}\n`),
  );
  measure(name, inSharedMemory(bodies), texts);
}

function makeRow(random: Random, index: number): Line {
  const number = (): number => random.integer(10_000) / 100;
  return {
    timestamp: new Date(Date.UTC(2026, 10, 22) + index * 37).toISOString(),
    host: `host-${String(random.integer(1_000)).padStart(4, "0")}`,
    region: `eu-central-${random.integer(4)}`,
    requests: random.integer(100_000),
    cpu: number(),
    memory: number(),
    latency: number(),
  };
}

function withLongDoubles(row: Line): Line {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, isFraction(value) ? (value as number) / 3 + 1e-3 / 7 : value]),
  );
}

function isFraction(value: unknown): boolean {
  return typeof value === "number" && !Number.isInteger(value);
}

function spaced(row: Line): string {
  const members = Object.entries(row).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{${members.join(", ")}}`;
}

function withoutKey(row: Line, index: number): Line {
  const keys = Object.keys(row);
  const dropped = keys[1 + (index % (keys.length - 1))];
  return index % 3 === 0 ? Object.fromEntries(Object.entries(row).filter(([key]) => key !== dropped)) : row;
}

function measure(name: string, bodies: readonly Uint8Array[], lines: readonly string[]): void {
  const builder = newBuilder();
  for (const [index, body] of bodies.entries()) {
    decodeOnce(decodeNdjson, body, builder, rows);
    check(builder, lines.slice(index * rows, (index + 1) * rows));
  }
  const ratios: number[] = [];
  const rates: number[] = [];
  let parsed: unknown;
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (const body of bodies) decodeOnce(decodeNdjson, body, builder, rows);
    const middleMs = performance.now();
    for (const line of lines) parsed = JSON.parse(line);
    const endMs = performance.now();
    // The first turns are the compiler's.
    if (round < rounds / 10) continue;
    ratios.push((endMs - middleMs) / (middleMs - startMs));
    rates.push(lines.length / (middleMs - startMs) / 1000);
  }
  assert.ok(parsed !== undefined);
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0) / lines.length;
  const rate = `${median(rates).toFixed(2)} M rows/s (best ${Math.max(...rates).toFixed(2)})`;
  console.log(`${name.padEnd(34)} ${bytes.toFixed(0)} bytes a row  ${rate}  ${median(ratios).toFixed(2)} × JSON.parse`);
}

/** Every double of the builder is the one that JSON.parse finds. */
function check(builder: ReturnType<typeof newBuilder>, lines: readonly string[]): void {
  for (const [row, line] of lines.entries()) {
    for (const [key, value] of Object.entries(JSON.parse(line) as Line)) {
      const column = builder.columns[builder.indexOf(key)];
      assert.ok(column !== undefined, key);
      if (column.type === "double") assert.equal(column.doubles[row], value);
    }
  }
}
