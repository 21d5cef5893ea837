import { createRequire } from "node:module";

interface DataAccessors {
  textDecoder: { decode(bytes: Uint8Array): string };
}

/**
 * node-api reads texts with a TextDecoder that drops a byte order mark (U+FEFF) from their start, which changes data.
 * Puts one in its place that keeps it. A test reads such a text, so that a version which this does not reach is noticed.
 */
export function keepByteOrderMarks(): void {
  const require = createRequire(import.meta.url);
  const accessors = require("@duckdb/node-api/lib/vectors/dataAccessors.js") as DataAccessors;
  accessors.textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
}
