import { MiniodbError } from "../../shared/errors.js";
import { frameFormats } from "../../shared/ring/frame.js";
import { decodeArrow } from "./decode-arrow.js";
import { decodeCsv } from "./decode-csv.js";
import { decodeJsonArray } from "./decode-json-array.js";
import { decodeJsonObject } from "./decode-json-object.js";
import { decodeMsgpackColumns, isMsgpackColumns } from "./decode-msgpack-columns.js";
import { decodeMsgpackRows } from "./decode-msgpack-rows.js";
import { decodeNdjson } from "./decode-ndjson.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";

/** The decoder of each format of a ring frame. Content types are mapped to formats in shared/formats/body-format.ts. */
const decodeByFormat: Readonly<Record<number, Decode>> = {
  // One object is one row.
  [frameFormats.json]: decodeJsonArray,
  [frameFormats.ndjson]: decodeNdjson,
  [frameFormats.csv]: decodeCsv,
  [frameFormats.messagePack]: (body, target) => {
    return isMsgpackColumns(body) ? decodeMsgpackColumns(body, target) : decodeMsgpackRows(body, target);
  },
  [frameFormats.messagePackColumns]: decodeMsgpackColumns,
  [frameFormats.arrowStream]: decodeArrow,
};

/**
 * Begins the decoding of a body whose content encoding has been undone. `originalShape` is a JSON body in the shape of
 * the original API's POST /v1/data. Throws UNSUPPORTED_MEDIA_TYPE for a format that does not exist, and what the
 * decoder throws.
 */
export function openDecode(format: number, originalShape: boolean, body: Uint8Array, target: DecodeTarget): Decoding {
  const decode = originalShape ? decodeJsonObject : decodeByFormat[format];
  if (decode === undefined || (originalShape && format !== frameFormats.json)) {
    throw new MiniodbError("UNSUPPORTED_MEDIA_TYPE", `format ${format} is not one that a body can have here`);
  }
  return decode(body, target);
}
