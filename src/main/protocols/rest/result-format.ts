import { MiniodbError } from "../../../shared/errors.js";
import { type ResultFormat, resultFormats } from "../../../shared/result-format.js";

/**
 * What the Accept header may name. `application/json` is the original shape, as the original's clients send it;
 * everything else that is not here counts as not said.
 */
const formatOfMediaType: Readonly<Record<string, ResultFormat>> = {
  "application/json": "original",
  "application/*": "original",
  "*/*": "original",
  "application/vnd.miniodb.result+json": "json",
  "application/x-ndjson": "ndjson",
  "application/ndjson": "ndjson",
  "application/jsonl": "ndjson",
  "text/csv": "csv",
  "text/*": "csv",
  "application/vnd.apache.arrow.stream": "arrow",
  "application/vnd.apache.parquet": "parquet",
  "application/x-parquet": "parquet",
  "application/vnd.msgpack": "msgpack",
  "application/msgpack": "msgpack",
  "application/x-msgpack": "msgpack",
};

/**
 * The format of a reply: the request's field `format`, else the Accept header's most wanted one that there is, else
 * `original`. Throws INVALID_REQUEST for a `format` that there is not.
 */
export function readFormat(field: string | undefined, accept: string): ResultFormat {
  if (field !== undefined && field !== "") {
    if (Object.hasOwn(resultFormats, field)) return field as ResultFormat;
    const known = Object.keys(resultFormats);
    throw new MiniodbError("INVALID_REQUEST", `format must be one of ${known.join(", ")}`, { field: "format" });
  }
  if (accept === "") return "original";
  let best: ResultFormat = "original";
  let bestWeight = 0;
  for (const range of accept.split(",")) {
    const [mediaType = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const format = Object.hasOwn(formatOfMediaType, mediaType) ? formatOfMediaType[mediaType] : undefined;
    const weight = weightOf(parameters);
    // Of equals the first one, as clients list them by liking; a range with an asterisk only where nothing else fits.
    const rank = mediaType.includes("*") ? weight / 1_000_000 : weight;
    if (format !== undefined && rank > bestWeight) [best, bestWeight] = [format, rank];
  }
  return best;
}

/** The quality value of RFC 9110, 12.4.2: 1 where it is absent, 0 where it cannot be read. */
function weightOf(parameters: readonly string[]): number {
  const quality = parameters.find((parameter) => parameter.startsWith("q="));
  if (quality === undefined) return 1;
  const weight = Number(quality.slice(2));
  return weight >= 0 && weight <= 1 ? weight : 0;
}
