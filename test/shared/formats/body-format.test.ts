import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyContentTypes, encodingOfHeader, formatOfContentType } from "../../../src/shared/formats/body-format.js";
import { frameEncodings, frameFormats } from "../../../src/shared/ring/frame.js";

test("content types, with parameters, in any case", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ["application/json", frameFormats.json],
    ["Application/JSON; charset=utf-8", frameFormats.json],
    ['application/json;charset="UTF-8"', frameFormats.json],
    ["application/json; charset=us-ascii; profile=x", frameFormats.json],
    ["application/json; charset=utf-16", undefined],
    ["text/csv; charset=iso-8859-1", undefined],
    ["text/csv; header=present", frameFormats.csv],
    ["application/x-ndjson", frameFormats.ndjson],
    ["application/msgpack", frameFormats.messagePack],
    ["application/x-msgpack", frameFormats.messagePack],
    ["application/vnd.msgpack", frameFormats.messagePack],
    ["application/vnd.apache.arrow.stream", frameFormats.arrowStream],
    ["application/x-www-form-urlencoded", undefined],
    ["text/plain", undefined],
    ["", undefined],
    [";;;", undefined],
  ];
  for (const [header, format] of cases) assert.equal(formatOfContentType(header), format, header);
  for (const contentType of bodyContentTypes) assert.notEqual(formatOfContentType(contentType), undefined);
});

test("content encodings", () => {
  assert.equal(encodingOfHeader(""), frameEncodings.identity);
  assert.equal(encodingOfHeader("identity"), frameEncodings.identity);
  assert.equal(encodingOfHeader(" GZIP "), frameEncodings.gzip);
  assert.equal(encodingOfHeader("zstd"), frameEncodings.zstd);
  // One encoding only: a stack of them is nothing that a client of this server needs.
  for (const other of ["br", "deflate", "gzip, zstd", "compress"]) assert.equal(encodingOfHeader(other), undefined);
});
