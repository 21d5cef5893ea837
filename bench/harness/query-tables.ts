/** The tables that several query suites read: loaded once in a bench run, by a server of default settings. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import { hitsTable } from "../generate/hits.js";
import type { BenchContext } from "./bench-context.js";
import { loadTable } from "./load-table.js";
import { queryFlags } from "./query-flags.js";

export interface QueryTables {
  /** Data folder of a server that has the tables `hits` and `cpu`, flushed. */
  readonly folder: string;
  /** Of each of the two. */
  readonly rows: number;
}

/** ClickBench's July. */
const days = 31;
const loaded = new WeakMap<BenchContext, Promise<QueryTables>>();

export function queryTables(context: BenchContext): Promise<QueryTables> {
  let tables = loaded.get(context);
  if (tables === undefined) {
    tables = load(context);
    loaded.set(context, tables);
  }
  return tables;
}

/**
 * MINIODB_BENCH_QUERY_ROWS sets another number of rows. MINIODB_BENCH_QUERY_DATA names a folder that is filled once and
 * used again, while someone works on queries alone.
 */
async function load(context: BenchContext): Promise<QueryTables> {
  const rows = Number(process.env["MINIODB_BENCH_QUERY_ROWS"] ?? context.pick(10_000_000, 200_000));
  const kept = process.env["MINIODB_BENCH_QUERY_DATA"];
  const folder = kept === undefined ? context.makeFolder("queries") : join(kept, String(rows));
  const mark = join(folder, "loaded");
  if (existsSync(mark)) return { folder, rows };
  mkdirSync(folder, { recursive: true });
  const generator = await Generator.open(context.makeFolder("generator"));
  await context.withServerOn(folder, queryFlags, async (server) => {
    await loadTable(context, server, generator, hitsTable({ name: "hits", rows, days }));
    await loadTable(context, server, generator, cpuTable(rows));
    await server.process.stop();
  });
  generator.close();
  writeFileSync(mark, "");
  return { folder, rows };
}
