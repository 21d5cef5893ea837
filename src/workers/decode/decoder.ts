import type { BatchBuilder, RowDefaults } from "../../shared/columns/batch-builder.js";
import type { RowAccount } from "../../shared/columns/row-account.js";

/**
 * What every decoder is given. Bodies may be views on shared memory and are complete; a decoder copies what it
 * keeps.
 */
export interface DecodeTarget {
  readonly builder: BatchBuilder;
  readonly account: RowAccount;
  /** The table's name: a body that names another one is refused. Undefined where nobody has one to compare with. */
  readonly table?: string;
  readonly defaults: RowDefaults;
  /** True when the id, as UTF-8 bytes [start, end) of source, keeps the table's rule. */
  readonly acceptsId: (source: Uint8Array, start: number, end: number) => boolean;
  /** Longest text of one value in bytes. */
  readonly valueBytesMax: number;
  /** Deepest nesting of a JSON or MessagePack value. */
  readonly depthMax: number;
}

/**
 * The decoding of one body, in slices so that a large one does not hold up its worker.
 * A row error is counted in the account and the next row goes on. A body that cannot be followed any further
 * (not well formed) throws MiniodbError INVALID_BODY with `details.position` in bytes: the caller then rolls the
 * builder back to where the request began, and nothing of it is accepted.
 */
export interface Decoding {
  /** Decodes rows worth about `bytesMax` of the body (at least one row); true when the body is done. */
  step(bytesMax: number): boolean;
}

/** One per format: `decode-ndjson.ts` and so on export one of these. */
export type Decode = (body: Uint8Array, target: DecodeTarget) => Decoding;
