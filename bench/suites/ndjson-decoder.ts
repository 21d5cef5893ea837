/**
 * The NDJSON decoder alone on one core, bytes to columns, against JSON.parse of the same lines as ready-made strings
 * (no UTF-8 decoding, no columns: the reference does less). Best of several turns each, taken alternately, because other
 * processes of the machine only ever slow a turn down.
 */
import { BatchBuilder } from "../../src/shared/columns/batch-builder.js";
import { RowAccount } from "../../src/shared/columns/row-account.js";
import { limits } from "../../src/shared/limits.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import { decodeNdjson } from "../../src/workers/decode/decode-ndjson.js";
import type { BenchContext, Suite } from "../harness/bench-context.js";
import { formatCount, type Measurement, verdict } from "../harness/measurement.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ndjsonRows } from "../load/payloads.js";

const rows = 20_000;
const rowsPerBody = 1_000;
const sliceBytes = 256 * 1024;
const warmupTurns = 10;

interface DecoderCase {
  readonly name: string;
  readonly factorMin: number;
  readonly lines: readonly string[];
}

export const ndjsonDecoder: Suite = {
  name: "decoder",
  run(context) {
    const lines = ndjsonRows(rows, seededRandom(7), 0);
    const cases: readonly DecoderCase[] = [
      { name: "two-decimal numbers", factorMin: 3, lines },
      { name: "17-digit doubles", factorMin: 1.5, lines: withLongDoubles(lines) },
    ];
    return Promise.resolve(cases.map((each) => measure(context, each)));
  },
};

/** The same rows with doubles that need all 17 digits. */
function withLongDoubles(lines: readonly string[]): string[] {
  const random = seededRandom(8);
  return lines.map((line) => {
    const row = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify({ ...row, temperature: random.fraction() / 3 + 20, humidity: random.fraction() / 7 + 40 });
  });
}

function measure(context: BenchContext, { name, factorMin, lines }: DecoderCase): Measurement {
  const bodies: Buffer[] = [];
  for (let from = 0; from < lines.length; from += rowsPerBody) {
    bodies.push(Buffer.from(`${lines.slice(from, from + rowsPerBody).join("\n")}\n`));
  }
  checkAnswer(bodies, lines);
  const builder = newBuilder();
  const [decode, parse] = fastest(context.pick(100, 40), [() => decodeAll(bodies, builder), () => parseAll(lines)]);
  const factor = parse / decode;
  const lineBytes = bodies.reduce((sum, body) => sum + body.length, 0) / lines.length;
  return {
    measure: `NDJSON decoder alone, bytes to columns, 7 columns, ${name}`,
    target: `≥ ${factorMin} × JSON.parse`,
    reached: `${formatCount((lines.length * 1000) / decode)} rows/s = ${factor.toFixed(2)} ×`,
    reference: `JSON.parse ${formatCount((lines.length * 1000) / parse)} rows/s`,
    verdict: verdict(factor >= factorMin),
    note: `${Math.round(lineBytes)} bytes a row, one core`,
  };
}

/** Milliseconds of the fastest turn of each, after warm-up. */
function fastest(turns: number, contestants: readonly [() => void, () => void]): [number, number] {
  const best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let turn = 0; turn < turns; turn++) {
    for (const which of [0, 1] as const) {
      const startMs = performance.now();
      contestants[which]();
      const tookMs = performance.now() - startMs;
      if (turn >= warmupTurns) best[which] = Math.min(best[which], tookMs);
    }
  }
  return best;
}

function newBuilder(): BatchBuilder {
  return new BatchBuilder(initialSchema, {
    addColumns: true,
    columnsMax: limits.columnsMax,
    longMeetsDouble: "widen",
    isCommitted: () => false,
  });
}

/** As the ingest worker does: one batch per body, its memory used again. Returns the rows taken. */
function decodeAll(bodies: readonly Uint8Array[], builder: BatchBuilder): number {
  let accepted = 0;
  for (const body of bodies) {
    accepted += decodeBody(body, builder).accepted;
    builder.reset();
  }
  return accepted;
}

function decodeBody(body: Uint8Array, builder: BatchBuilder): RowAccount {
  const account = new RowAccount(limits.rowErrorsMax);
  const decoding = decodeNdjson(body, {
    builder,
    account,
    defaults: { receivedMicros: 0, generateId: null, idRequired: false },
    acceptsId: () => true,
    valueBytesMax: limits.valueBytesMax,
    depthMax: limits.valueDepthMax,
  });
  while (!decoding.step(sliceBytes));
  return account;
}

/** Keeps what it parsed in reach, so that no engine can leave the work out. */
let lastParsed: unknown;
function parseAll(lines: readonly string[]): void {
  for (const line of lines) lastParsed = JSON.parse(line);
}

/** Every row is taken, and each number is what JSON.parse makes of it. */
function checkAnswer(bodies: readonly Uint8Array[], lines: readonly string[]): void {
  parseAll(lines.slice(0, 1));
  const names = Object.keys(lastParsed as object);
  let row = 0;
  for (const body of bodies) {
    const builder = newBuilder();
    const account = decodeBody(body, builder);
    if (account.rejected > 0 || account.accepted !== rowsPerBody) {
      throw new Error(`the decoder rejected rows: ${JSON.stringify(account.errors[0])}`);
    }
    for (const name of names) {
      const column = builder.columns[builder.indexOf(name)];
      if (column === undefined) throw new Error(`the decoder made no column ${name}`);
      if (column.type !== "double") continue;
      for (let index = 0; index < rowsPerBody; index++) {
        const expected = (JSON.parse(lines[row + index] as string) as Record<string, number>)[name];
        if (column.doubles[index] !== expected) {
          throw new Error(`${name} of row ${row + index} is ${column.doubles[index]}, not ${expected}`);
        }
      }
    }
    row += rowsPerBody;
  }
}
