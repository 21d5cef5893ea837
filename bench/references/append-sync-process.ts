/**
 * R2: what the disk gives to a plain loop of append and fdatasync, in a process of its own. Takes one job over the
 * process channel, answers with the result.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface AppendSyncJob {
  /** On the disk that the server writes to. */
  readonly folder: string;
  /** Bytes of one append, each followed by one fdatasync. */
  readonly groupBytes: number;
  readonly durationMs: number;
}

export interface AppendSyncResult {
  readonly bytesPerSecond: number;
  readonly syncsPerSecond: number;
}

/** A new file after this many bytes, as the server's segments are. */
const fileBytesMax = 64 * 1024 * 1024;

function run({ folder, groupBytes, durationMs }: AppendSyncJob): AppendSyncResult {
  const own = mkdtempSync(join(folder, "append-sync-"));
  // Not all zero: a file system that compresses would cheat.
  const group = Buffer.from(Uint8Array.from({ length: groupBytes }, (_, index) => (index * 2_654_435_761) >>> 24));
  let files = 0;
  let file = openSync(join(own, String(files)), "a");
  let fileBytes = 0;
  let syncs = 0;
  const startMs = performance.now();
  let elapsedMs = 0;
  while (elapsedMs < durationMs) {
    for (let written = 0; written < groupBytes;) written += writeSync(file, group, written);
    fdatasyncSync(file);
    syncs++;
    fileBytes += groupBytes;
    if (fileBytes >= fileBytesMax) {
      closeSync(file);
      rmSync(join(own, String(files)));
      file = openSync(join(own, String(++files)), "a");
      fileBytes = 0;
    }
    elapsedMs = performance.now() - startMs;
  }
  closeSync(file);
  rmSync(own, { recursive: true });
  const perSecond = 1000 / elapsedMs;
  return { bytesPerSecond: syncs * groupBytes * perSecond, syncsPerSecond: syncs * perSecond };
}

process.once("message", (job: AppendSyncJob) => {
  process.send?.(run(job), () => process.exit(0));
});
process.once("disconnect", () => process.exit(0));
