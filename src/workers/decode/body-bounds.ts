import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { DecodeTarget } from "./decoder.js";

/**
 * Throws BODY_TOO_LARGE where the rows so far are more than a body may bring, or their columns larger than a batch may
 * be: a few bytes of text can be a row, and one value makes its whole column. Cheap enough for every window of a body.
 */
export function checkBounds({ account, builder }: DecodeTarget): void {
  if (account.rows > limits.bodyRowsMax) {
    const message = `The body has more than ${limits.bodyRowsMax} rows`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitRows: limits.bodyRowsMax });
  }
  // Every column at its widest fixed size: only where this is too much is it worth being exact.
  if (builder.rowCount * builder.columns.length * 9 <= limits.batchBytesMax) return;
  if (builder.bytes() <= limits.batchBytesMax) return;
  const message = `The body's rows take more than ${limits.batchBytesMax} bytes as columns, nulls included`;
  throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: limits.batchBytesMax });
}
