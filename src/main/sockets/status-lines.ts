import { STATUS_CODES } from "node:http";

const lines = new Map<number, string>();

/** `404 Not Found`, as it stands in a status line. */
export function statusLine(status: number): string {
  let line = lines.get(status);
  if (line === undefined) {
    line = `${status} ${STATUS_CODES[status] ?? "Unknown"}`;
    lines.set(status, line);
  }
  return line;
}

/** Replies of these never have a body, nor a content-length. */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}
