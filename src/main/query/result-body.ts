import { unlink } from "node:fs/promises";
import type { ResultBody } from "../../shared/query-messages.js";

/** Lets go of a result that nobody takes: its file is removed. A file that is gone already is no error. */
export async function discardBody(body: ResultBody): Promise<void> {
  if (body.kind === "file") await unlink(body.path).catch(() => {});
}
