/**
 * The forms in which rows of a query can be asked for. What each makes of every type is in the README, section Results.
 *
 * `original`: a JSON string literal that holds an array of row objects: the value of result_json in the original API.
 */
export type ResultFormat = "original" | "json" | "ndjson" | "csv" | "arrow" | "parquet" | "msgpack";

export interface ResultFormatInfo {
  /** As sent in content-type. */
  readonly mediaType: string;
  /** Without its dot. */
  readonly fileEnding: string;
}

export const resultFormats: Readonly<Record<ResultFormat, ResultFormatInfo>> = {
  original: { mediaType: "application/json", fileEnding: "json" },
  json: { mediaType: "application/json", fileEnding: "json" },
  ndjson: { mediaType: "application/x-ndjson", fileEnding: "ndjson" },
  csv: { mediaType: "text/csv; charset=utf-8; header=present", fileEnding: "csv" },
  arrow: { mediaType: "application/vnd.apache.arrow.stream", fileEnding: "arrows" },
  parquet: { mediaType: "application/vnd.apache.parquet", fileEnding: "parquet" },
  msgpack: { mediaType: "application/vnd.msgpack", fileEnding: "msgpack" },
};
