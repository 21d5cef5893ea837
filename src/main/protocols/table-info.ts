import type { TableEntry } from "../catalog/table-entry.js";
import type { TableStatistics } from "../catalog/table-statistics.js";
import { columnsOfSchema } from "./schema-changes.js";
import { configOfTable } from "./encrypted-columns.js";

/** A table as the original API describes it: proto-shaped, snake case, timestamps in seconds and nanos. */
export function tableInfo(entry: TableEntry, statistics: TableStatistics): Record<string, unknown> {
  const { state, schema } = entry;
  const { oldestMicros, newestMicros } = statistics;
  return {
    name: entry.name,
    config: configOfTable(entry),
    created_at: protoTime(state.createdMs),
    ...(entry.lastWriteMs === 0 ? {} : { last_write: protoTime(entry.lastWriteMs) }),
    status: "active",
    stats: {
      record_count: statistics.rows,
      file_count: statistics.files,
      size_bytes: statistics.bytes,
      ...(oldestMicros === null ? {} : { oldest_record: protoMicros(oldestMicros) }),
      ...(newestMicros === null ? {} : { newest_record: protoMicros(newestMicros) }),
      unflushed_rows: statistics.unflushedRows,
      unflushed_bytes: statistics.unflushedBytes,
    },
    columns: columnsOfSchema(schema),
  };
}

/** A time in ms since 1970 as proto's JSON has it. */
export function protoTime(epochMs: number): { readonly seconds: number; readonly nanos: number } {
  const seconds = Math.floor(epochMs / 1000);
  return { seconds, nanos: Math.round((epochMs - seconds * 1000) * 1_000_000) };
}

function protoMicros(micros: bigint): { readonly seconds: number; readonly nanos: number } {
  const nanos = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { seconds: Number((micros - nanos) / 1_000_000n), nanos: Number(nanos) * 1000 };
}

/** `*` and `?` as in the original's pattern parameter, in any case of letters; an empty pattern takes all. */
export function namePattern(pattern: string): (name: string) => boolean {
  if (pattern === "") return () => true;
  const wanted = pattern.toLowerCase();
  return (name) => matchesGlob(wanted, name.toLowerCase());
}

/** Where a character does not fit, only the last star takes one more: never more steps than pattern times name. */
function matchesGlob(pattern: string, name: string): boolean {
  let at = 0;
  let starAt = -1;
  let takenTo = 0;
  for (let position = 0; position < name.length;) {
    if (pattern[at] === "*") {
      starAt = at++;
      takenTo = position;
    } else if (pattern[at] === "?" || pattern[at] === name[position]) {
      at++;
      position++;
    } else {
      if (starAt < 0) return false;
      at = starAt + 1;
      position = ++takenTo;
    }
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}
