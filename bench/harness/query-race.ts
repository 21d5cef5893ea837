/** Runs queries in turns on the server and on R: answers first, then times. */
import type { BenchQuery } from "../queries/bench-query.js";
import type { BenchContext, BenchServer } from "./bench-context.js";
import { differenceOf } from "./compare-rows.js";
import type { DuckDBReference } from "./duckdb-reference.js";
import { queryCells, sendQuery } from "./query-http.js";

export interface Lap {
  readonly name: string;
  /** The best hot run of each side. */
  readonly serverMs: number;
  readonly referenceMs: number;
}

const hotRuns = 3;
/** A query that takes so long is run twice: noise does not decide it. */
const longMs = 1_000;

/**
 * Throws at the first answer that differs. The run for the answer is the cold one; then the sides take turns, so that
 * what else the machine does meets both.
 */
export async function raceQueries(
  context: BenchContext,
  server: BenchServer,
  reference: DuckDBReference,
  queries: readonly BenchQuery[],
): Promise<Lap[]> {
  const laps: Lap[] = [];
  for (const query of queries) {
    await checkAnswer(server, reference, query);
    const { sql, name } = query;
    const serverTimes: number[] = [];
    const referenceTimes: number[] = [];
    for (let run = 0; run < hotRuns && !(run === 2 && (referenceTimes[0] ?? 0) > longMs); run++) {
      referenceTimes.push(...(await reference.ask("time", { sql, runs: 1 })));
      const { elapsedMs } = await sendQuery({ url: server.process.url, sql, format: "json", isBodyKept: false });
      serverTimes.push(elapsedMs);
    }
    laps.push({ name, serverMs: Math.min(...serverTimes), referenceMs: Math.min(...referenceTimes) });
  }
  for (const lap of laps) context.progress(describeLap(lap));
  return laps;
}

async function checkAnswer(server: BenchServer, reference: DuckDBReference, query: BenchQuery): Promise<void> {
  const expected = await reference.ask("rows", { sql: query.sql });
  const reached = await queryCells(server.process.url, query.sql);
  const difference =
    query.answer === "exact"
      ? differenceOf(reached, expected, query.sql.includes("ORDER BY"))
      : reached.length === expected.length
        ? null
        : `${reached.length} rows instead of ${expected.length}`;
  if (difference !== null) throw new Error(`${query.name} has another answer than R: ${difference}`);
}

export function describeLap({ name, serverMs, referenceMs }: Lap): string {
  return `${name} ${serverMs.toFixed(1)} / ${referenceMs.toFixed(1)} ms = ${(serverMs / referenceMs).toFixed(2)}`;
}

export interface RaceSum {
  readonly serverMs: number;
  readonly referenceMs: number;
  readonly ratio: number;
  /** The query that lost most time against R, and the one with the highest ratio among those of 20 ms and more. */
  readonly worst: string;
}

const noticeableMs = 20;

export function sumLaps(laps: readonly Lap[]): RaceSum {
  const serverMs = laps.reduce((sum, lap) => sum + lap.serverMs, 0);
  const referenceMs = laps.reduce((sum, lap) => sum + lap.referenceMs, 0);
  const lost = laps.toSorted((a, b) => b.serverMs - b.referenceMs - (a.serverMs - a.referenceMs));
  const slower = laps
    .filter((lap) => lap.referenceMs >= noticeableMs)
    .toSorted((a, b) => b.serverMs / b.referenceMs - a.serverMs / a.referenceMs);
  const named = [...new Set([lost[0], slower[0]])].filter((lap) => lap !== undefined);
  return { serverMs, referenceMs, ratio: serverMs / referenceMs, worst: named.map(describeLap).join(", ") };
}
