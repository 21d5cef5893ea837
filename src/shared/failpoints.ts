import { assert } from "./assert.js";

/**
 * Places where a test makes the process die, fail or wait: `MINIODB_FAILPOINT=name:count:action[:milliseconds]`. The
 * action happens at the count-th time that a thread passes the place (from 1).
 *
 * ```
 * kill     SIGKILL to the process
 * error    throws an EIO error, this time and never again
 * sleep    waits the milliseconds (default 1,000), this time only
 * ```
 * Unset, a failpoint is one comparison.
 */
export const failpointNames = [
  "ingest.round",
  "wal.open.stream",
  "wal.replay.segment",
  "wal.rotate.named",
  "wal.rotate.synced",
  "wal.group.written",
  "wal.group.synced",
  "wal.digest.written",
  "wal.digest.named",
  "wal.trim.removed",
  "wal.copy.written",
  "wal.spare.filled",
  "store.file.written",
  "store.name.given",
  "commit.begun",
  "commit.manifest.written",
  "commit.list.written",
  "commit.metadata.written",
  "commit.hint.written",
  "garbage.object.removed",
  "seal.file.written",
  "seal.file.named",
  "flush.file.written",
  "flush.file.stored",
  "flush.commit.next",
  "compact.file.written",
  "compact.file.stored",
  "compact.commit.next",
  "backup.tags.made",
  "backup.object.copied",
  "backup.manifest.next",
  "backup.manifest.written",
  "backup.manifest.removed",
  "restore.announced",
  "restore.object.copied",
  "restore.publish.next",
  "restore.published",
  "keep.rows.kept",
  "keep.rows.restored",
] as const;
export type FailpointName = (typeof failpointNames)[number];

interface ArmedFailpoint {
  readonly name: FailpointName;
  readonly action: string;
  readonly ms: number;
  countdown: number;
}

const armed = parse(process.env["MINIODB_FAILPOINT"]);

/** Does what the environment asks for at this place; see above. */
export function failpoint(name: FailpointName): void {
  if (armed === undefined || armed.name !== name) return;
  armed.countdown--;
  if (armed.countdown !== 0) return;
  if (armed.action === "kill") {
    process.kill(process.pid, "SIGKILL");
    // The signal ends this thread too, but not within the call.
    sleepMs(60_000);
  }
  if (armed.action === "error") {
    throw Object.assign(new Error(`EIO: failpoint ${name}`), { code: "EIO", syscall: name });
  }
  sleepMs(armed.ms);
}

function parse(text: string | undefined): ArmedFailpoint | undefined {
  if (text === undefined || text === "") return undefined;
  const [wanted, count, action = "", ms] = text.split(":");
  const name = failpointNames.find((known) => known === wanted);
  assert(name !== undefined, `MINIODB_FAILPOINT names a known place, not ${wanted}`);
  assert(["kill", "error", "sleep"].includes(action), `MINIODB_FAILPOINT names a known action, not ${action}`);
  const countdown = Number(count);
  assert(Number.isInteger(countdown) && countdown > 0, "MINIODB_FAILPOINT counts from 1");
  return { name, action, ms: ms === undefined ? 1_000 : Number(ms), countdown };
}

function sleepMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
