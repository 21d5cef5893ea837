import { existsSync, readFileSync } from "node:fs";
import type { Disk } from "./disk.js";
import { FaultyDisk } from "./faulty-disk.js";
import { ForgetfulDisk } from "./forgetful-disk.js";
import { RealDisk } from "./real-disk.js";

/** Calls that a failing disk refuses; reads go on, as on a full disk. */
const refusedCalls: ReadonlySet<string> = new Set(["writev", "fdatasync", "truncate"]);

/**
 * The disk of this process: the real one. Tests of a whole server set MINIODB_TEST_DISK, a list of layers from the
 * inside out, separated by commas:
 *
 * ```
 * forgetful=<side folder>   what is not synced can be lost: losePower(<side folder>) after the server was killed
 * failing=<file>            while the file exists, writes and syncs fail with the error code that it contains
 * ```
 */
export function openDisk(layers: string = process.env["MINIODB_TEST_DISK"] ?? ""): Disk {
  let disk: Disk = new RealDisk();
  for (const layer of layers.split(",").filter((text) => text !== "")) {
    const [name, path] = layer.split("=");
    if (name === "forgetful" && path !== undefined) disk = new ForgetfulDisk(path);
    else if (name === "failing" && path !== undefined) disk = failingWhile(disk, path);
    else throw new Error(`MINIODB_TEST_DISK: unknown layer ${layer}`);
  }
  return disk;
}

function failingWhile(inner: Disk, controlFile: string): Disk {
  return new FaultyDisk(inner, (call) => {
    if (!refusedCalls.has(call) || !existsSync(controlFile)) return undefined;
    return { kind: "error", code: readFileSync(controlFile, "utf8").trim() || "EIO" };
  });
}
