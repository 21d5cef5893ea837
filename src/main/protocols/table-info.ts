import { timestampFieldId } from "../../shared/schema/table-schema.js";
import type { TableEntry } from "../catalog/table-entry.js";
import { configOfSettings } from "./table-config.js";

/** A table as the original API describes it: proto-shaped, snake case, timestamps in seconds and nanos. */
export function tableInfo(entry: TableEntry): Record<string, unknown> {
  const { state, schema } = entry;
  const bounds = timeBounds(entry);
  return {
    name: entry.name,
    config: configOfSettings(state.settings),
    created_at: protoTime(state.createdMs),
    ...(entry.lastWriteMs === 0 ? {} : { last_write: protoTime(entry.lastWriteMs) }),
    status: "active",
    stats: {
      record_count: entry.rows,
      file_count: state.files.length,
      size_bytes: state.files
        .flatMap((file) => [file, ...(file.deletes ?? [])])
        .reduce((sum, file) => sum + file.bytes, 0),
      ...(bounds === null
        ? {}
        : { oldest_record: protoMicros(bounds.lower), newest_record: protoMicros(bounds.upper) }),
    },
    columns: schema.columns.map(({ name, type, required }) => ({ name, type, required })),
  };
}

/** Oldest and newest timestamp of the committed files, µs; null while there are none. */
function timeBounds(entry: TableEntry): { readonly lower: bigint; readonly upper: bigint } | null {
  let lower: bigint | null = null;
  let upper: bigint | null = null;
  for (const file of entry.state.files) {
    const bounds = file.bounds[timestampFieldId];
    if (typeof bounds?.lower !== "string" || typeof bounds.upper !== "string") continue;
    const from = BigInt(bounds.lower);
    const to = BigInt(bounds.upper);
    if (lower === null || from < lower) lower = from;
    if (upper === null || to > upper) upper = to;
  }
  return lower === null || upper === null ? null : { lower, upper };
}

export function protoTime(epochMs: number): { readonly seconds: number; readonly nanos: number } {
  const seconds = Math.floor(epochMs / 1000);
  return { seconds, nanos: Math.round((epochMs - seconds * 1000) * 1_000_000) };
}

function protoMicros(micros: bigint): { readonly seconds: number; readonly nanos: number } {
  const nanos = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { seconds: Number((micros - nanos) / 1_000_000n), nanos: Number(nanos) * 1000 };
}

/** `*` and `?` as in the original's pattern parameter; an empty pattern takes all. */
export function namePattern(pattern: string): (name: string) => boolean {
  if (pattern === "") return () => true;
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`);
  const expression = new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");
  return (name) => expression.test(name);
}
