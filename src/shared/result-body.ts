import { readFile, unlink } from "node:fs/promises";
import type { ResultBody } from "./query-messages.js";
import { giveSlabs } from "./result-room.js";

/** All bytes of a result, which is still to be discarded. Rejects where its file cannot be read. */
export async function readBody(body: ResultBody): Promise<Buffer> {
  if (body.kind === "bytes") return Buffer.from(body.bytes);
  return body.kind === "pieces" ? Buffer.concat(body.pieces) : readFile(body.path);
}

/**
 * Lets go of a result that was sent, or that nobody takes: its file is removed, the memory of its pieces is free. To be
 * called once for each body. A file that is gone already is no error.
 */
export async function discardBody(body: ResultBody): Promise<void> {
  if (body.kind === "pieces") giveSlabs(body.room, body.slabs);
  if (body.kind === "file") await unlink(body.path).catch(() => {});
}
