import { type FileHandle, open } from "node:fs/promises";
import { type ResultFormat, resultFormats } from "../../../shared/result-format.js";
import { discardBody } from "../../../shared/result-body.js";
import type { QueryReply } from "../../query/query-request.js";
import type { HttpExchange, ReplyStream } from "../../sockets/http-server.js";

/** Of a file, read while the piece before is on its way: two of them are in memory per reply. */
const pieceBytes = 512 * 1024;

/**
 * Sends a result and discards it. Everything is there before the first byte leaves, so that whatever can go wrong
 * with the query had a status of its own. Resolves when the reply has been handed to the socket, or the client is gone;
 * rejects, and sends nothing, when the file cannot be opened. When it cannot be read to its end, the connection is cut.
 */
export async function sendQueryReply(exchange: HttpExchange, format: ResultFormat, reply: QueryReply): Promise<void> {
  const { head, tail } = envelopeOf(format, reply);
  const headers = headersOf(format, reply);
  const { body } = reply;
  if (body.kind === "bytes") {
    const whole = head.length + tail.length === 0 ? body.bytes : Buffer.concat([head, body.bytes, tail]);
    exchange.reply(200, headers, whole);
    return;
  }
  const totalBytes = head.length + body.bytes + tail.length;
  try {
    if (body.kind === "pieces") {
      const stream = exchange.startReply(200, headers, totalBytes);
      if (stream !== null) await sendPieces(stream, [head, ...body.pieces, tail]);
      return;
    }
    const file = await open(body.path, "r");
    try {
      const stream = exchange.startReply(200, headers, totalBytes);
      if (stream !== null) await sendFile(stream, { head, file, bytes: body.bytes, tail });
    } finally {
      await file.close();
    }
  } finally {
    await discardBody(body);
  }
}

async function sendPieces(stream: ReplyStream, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) if (!(await stream.write(piece))) return;
  stream.end();
}

interface FilePieces {
  readonly head: Uint8Array;
  readonly file: FileHandle;
  readonly bytes: number;
  readonly tail: Uint8Array;
}

/** Reads one piece ahead of the one that the socket takes. */
async function sendFile(stream: ReplyStream, { head, file, bytes, tail }: FilePieces): Promise<void> {
  try {
    if (!(await stream.write(head))) return;
    const buffers = [Buffer.allocUnsafe(pieceBytes), Buffer.allocUnsafe(pieceBytes)] as const;
    let next = readPiece(file, buffers[0], 0, bytes);
    for (let at = 0, turn = 1; at < bytes; turn ^= 1) {
      const piece = await next;
      at += piece.length;
      next = readPiece(file, buffers[turn as 0 | 1], at, bytes);
      // It is waited for above, or after an early return by nobody.
      next.catch(() => {});
      if (!(await stream.write(piece))) {
        await next.catch(() => {});
        return;
      }
    }
    if (await stream.write(tail)) stream.end();
  } catch (error) {
    stream.abort();
    throw error;
  }
}

/** Bytes [at, at + the buffer's length) of the file, or up to its end at `total`. */
async function readPiece(file: FileHandle, buffer: Buffer, at: number, total: number): Promise<Buffer> {
  const wanted = Math.min(buffer.length, total - at);
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await file.read(buffer, filled, wanted - filled, at + filled);
    if (bytesRead === 0) throw new Error("a result file ends before its end");
    filled += bytesRead;
  }
  return buffer.subarray(0, wanted);
}

/** What the two JSON formats have around their rows; the others say it in headers. */
function envelopeOf(format: ResultFormat, reply: QueryReply): { readonly head: Uint8Array; readonly tail: Uint8Array } {
  const page = `"has_more":${reply.hasMore},"next_cursor":${JSON.stringify(reply.nextCursor)}}`;
  if (format === "original") return { head: Buffer.from(`{"result_json":`), tail: Buffer.from(`,${page}`) };
  if (format !== "json") return { head: new Uint8Array(0), tail: new Uint8Array(0) };
  const head = Buffer.from(`{"columns":${JSON.stringify(reply.columns)},"rows":`);
  return { head, tail: Buffer.from(`,"row_count":${reply.rows},${page}`) };
}

/** RFC 9211: what the result cache did. */
const cacheStatus = {
  hit: "MiniODB; hit",
  miss: "MiniODB; fwd=miss; stored",
  bypass: "MiniODB; fwd=bypass",
} as const;

function headersOf(format: ResultFormat, { queryId, cache, rows, hasMore, nextCursor }: QueryReply): string[] {
  const headers = ["content-type", resultFormats[format].mediaType];
  headers.push("miniodb-query-id", queryId, "cache-status", cacheStatus[cache]);
  if (format === "original" || format === "json") return headers;
  headers.push("miniodb-rows", String(rows), "miniodb-has-more", String(hasMore));
  if (nextCursor !== "") headers.push("miniodb-next-cursor", nextCursor);
  return headers;
}
