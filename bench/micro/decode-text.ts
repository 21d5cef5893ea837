/**
 * The other text decoders alone, on one core: one-row bodies of POST /v1/data (each request opens a decoding of its
 * own, and the table's name is read first), arrays, and CSV of the same rows, against JSON.parse of the same texts.
 *
 *   node dist/bench/micro/decode-text.js [rounds]
 */
import { RowAccount } from "../../src/shared/columns/row-account.js";
import { limits } from "../../src/shared/limits.js";
import { decodeCsv } from "../../src/workers/decode/decode-csv.js";
import { decodeJsonArray } from "../../src/workers/decode/decode-json-array.js";
import { decodeJsonObject } from "../../src/workers/decode/decode-json-object.js";
import { readTableName } from "../../src/workers/decode/read-table-name.js";
import { makePayloads } from "../load/payloads.js";
import { decodeOnce, inSharedMemory, newBuilder, print, rowsPerSecond, type Contestant } from "./decode-turns.js";

const rows = 1_000;
const bodyCount = 10;
const rounds = Number(process.argv[2] ?? "200");

const oneRow = makePayloads({ kind: "row-json", table: "t", rowsPerRequest: 1, count: rows * bodyCount, seed: 1 });
const arrays = makePayloads({ kind: "json-array", table: "t", rowsPerRequest: rows, count: bodyCount, seed: 1 });
const csv = arrays.map((body) => Buffer.from(asCsv(JSON.parse(body.toString()) as Record<string, unknown>[])));
const oneRowTexts = oneRow.map(String);
const arrayTexts = arrays.map(String);
const sharedOneRow = inSharedMemory(oneRow);
const sharedArrays = inSharedMemory(arrays);
const sharedCsv = inSharedMemory(csv);

const oneRowBuilder = newBuilder();
const arrayBuilder = newBuilder();
const csvBuilder = newBuilder();
const defaults = { receivedMicros: 1, generateId: null, idRequired: true };
let parsed: unknown;

function asCsv(values: readonly Record<string, unknown>[]): string {
  const names = Object.keys(values[0] ?? {});
  const lines = values.map((row) => names.map((name) => String(row[name])).join(","));
  return `${[names.join(","), ...lines].join("\n")}\n`;
}

/** As the ingest worker does: a round of requests into one builder. */
function decodeOneRow(): void {
  oneRowBuilder.reset();
  for (const body of sharedOneRow) {
    if (readTableName(body) !== "t") throw new Error("the table's name was misread");
    const account = new RowAccount(limits.rowErrorsMax);
    const target = { builder: oneRowBuilder, account, defaults, acceptsId: () => true, ...sizes };
    while (!decodeJsonObject(body, target).step(body.length + 1));
    if (account.accepted !== 1) throw new Error("a row was rejected");
  }
}

const sizes = { valueBytesMax: limits.valueBytesMax, depthMax: limits.valueDepthMax };

const contestants: readonly Contestant[] = [
  { name: "one-row bodies, readTableName + decodeJsonObject", turn: decodeOneRow },
  {
    name: "one-row bodies, JSON.parse",
    turn: () => {
      for (const text of oneRowTexts) parsed = JSON.parse(text);
    },
  },
  {
    name: "arrays of 1,000, decodeJsonArray",
    turn: () => {
      for (const body of sharedArrays) decodeOnce(decodeJsonArray, body, arrayBuilder, rows);
    },
  },
  {
    name: "arrays of 1,000, JSON.parse",
    turn: () => {
      for (const text of arrayTexts) parsed = JSON.parse(text);
    },
  },
  {
    name: "CSV of 1,000, decodeCsv",
    turn: () => {
      for (const body of sharedCsv) decodeOnce(decodeCsv, body, csvBuilder, rows);
    },
  },
];
print(contestants, rowsPerSecond(contestants, rows * bodyCount, rounds));
if (parsed === undefined) throw new Error("nothing was parsed");
