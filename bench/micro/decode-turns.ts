import assert from "node:assert/strict";
import { BatchBuilder } from "../../src/shared/columns/batch-builder.js";
import { RowAccount } from "../../src/shared/columns/row-account.js";
import { limits } from "../../src/shared/limits.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import type { Decode } from "../../src/workers/decode/decoder.js";

/** A builder that a bench decodes into again and again, as a table's is from round to round. */
export function newBuilder(): BatchBuilder {
  const rules = {
    addColumns: true,
    columnsMax: limits.columnsMax,
    longMeetsDouble: "widen",
    isCommitted: () => false,
  } as const;
  return new BatchBuilder(initialSchema, rules);
}

/** Decodes one body into the emptied builder, and fails unless it gives this many rows. */
export function decodeOnce(decode: Decode, body: Uint8Array, builder: BatchBuilder, rows: number): void {
  builder.reset();
  const account = new RowAccount(limits.rowErrorsMax);
  const decoding = decode(body, {
    builder,
    account,
    defaults: { receivedMicros: 1, generateId: null, idRequired: false },
    acceptsId: () => true,
    valueBytesMax: limits.valueBytesMax,
    depthMax: limits.valueDepthMax,
  });
  while (!decoding.step(body.length + 1));
  assert.equal(account.accepted, rows);
}

/** Copies of the bodies where the ingest worker finds them: in shared memory, on a multiple of 8. */
export function inSharedMemory(bodies: readonly Uint8Array[]): Uint8Array[] {
  return bodies.map((body) => {
    const copy = new Uint8Array(new SharedArrayBuffer(body.length));
    copy.set(body);
    return copy;
  });
}

export interface Contestant {
  readonly name: string;
  /** One turn of `rowsPerTurn` rows. */
  readonly turn: () => void;
}

/**
 * Rows per second of each: best of `rounds` turns, taken alternately, because other processes of the machine only ever
 * slow a turn down.
 */
export function rowsPerSecond(contestants: readonly Contestant[], rowsPerTurn: number, rounds: number): number[] {
  const best = contestants.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { turn }] of contestants.entries()) {
      const start = process.hrtime.bigint();
      turn();
      best[index] = Math.min(best[index] as number, Number(process.hrtime.bigint() - start) / 1e9);
    }
  }
  return best.map((seconds) => rowsPerTurn / seconds);
}

export function print(contestants: readonly Contestant[], rates: readonly number[]): void {
  for (const [index, { name }] of contestants.entries()) {
    console.log(`${name.padEnd(60)} ${((rates[index] as number) / 1e6).toFixed(1).padStart(6)} M rows/s`);
  }
}
