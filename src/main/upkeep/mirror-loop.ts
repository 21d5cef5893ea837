import { MiniodbError } from "../../shared/errors.js";
import type { Diverged, MirrorReport } from "../../shared/iceberg/mirror-table.js";
import type { Logger } from "../../shared/log.js";
import type { TableState } from "../../shared/messages.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";

export interface MirrorLoopOptions {
  readonly registry: TableRegistry;
  /** A pool of its own: a long copy holds up nothing else. */
  readonly pool: Pick<PersistPool, "checkPools" | "mirrorTable" | "surveyMirror" | "collectMirror">;
  /** Between two comparisons of the pools' tables. */
  readonly intervalMs: number;
  readonly garbage: { readonly intervalMs: number; readonly graceMs: number };
  /** The second pool holds what the report says; `entry` is undefined where the table is not one of this server's. */
  readonly onMirrored: (entry: TableEntry | undefined, report: MirrorReport) => void;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
}

/** How far the second pool is behind the first. */
export interface MirrorLag {
  readonly tables: number;
  readonly commits: number;
  /** Data files that the second pool lacks; null where that is not known yet, as after a start without the second pool. */
  readonly waitingBytes: number | null;
  /** Since when the oldest commit waits that the second pool lacks; null while there is none. */
  readonly sinceMs: number | null;
  /** Tables that only the second pool has: they are left alone. */
  readonly secondOnly: number;
  /** What went wrong last, and is not known to be over; empty where nothing did. */
  readonly error: string;
}

export interface MirrorTotals {
  readonly commits: number;
  readonly objects: number;
  readonly bytes: number;
  readonly failures: number;
  /** Commits that were set aside as the first pool never had them. */
  readonly diverged: number;
}

/** What is known of one table's copy. */
interface Followed {
  /** Version of the second pool; null before the first look. */
  version: number | null;
  /** The first pool's state of that version, where this server had it. */
  state: TableState | null;
  behindSinceMs: number | null;
  isRunning: boolean;
  /** It is dropped, there as here, or no table at all: nothing is to be done any more. */
  isSettled: boolean;
  failures: number;
  retryAtMs: number;
}

/** Tables at once; each copies several objects at once, within mirror.copiesMax. */
const tablesAtOnce = 2;
/** Between two looks at who is first. */
const checkMs = 5_000;
const retryMs = 500;
const retryMsMax = 15_000;

/**
 * Keeps the second pool close behind the first: a commit of this server makes its table be copied at once, and a comparison
 * of both pools now and then finds what it did not hear of. What is missing is found in the pools, not here, so that
 * nothing depends on this being told.
 */
export class MirrorLoop {
  readonly #options: MirrorLoopOptions;
  readonly #tables = new Map<string, Followed>();
  readonly #totals = { commits: 0, objects: 0, bytes: 0, failures: 0, diverged: 0 };
  #running = 0;
  #secondOnly = 0;
  #error = "";
  #superseded: MiniodbError | null = null;
  #isStopped = false;
  #isSurveyed = false;
  /** One of check, survey and collection at a time. */
  #isLooking = false;
  #checkAtMs = 0;
  #surveyAtMs = 0;
  #collectAtMs = Date.now();

  constructor(options: MirrorLoopOptions) {
    this.#options = options;
    this.#collectAtMs += options.garbage.intervalMs;
  }

  get totals(): MirrorTotals {
    return this.#totals;
  }

  /** Set once another pool was promoted: nothing is committed or mirrored any more. */
  get superseded(): MiniodbError | null {
    return this.#superseded;
  }

  lag(): MirrorLag {
    let tables = 0;
    let commits = 0;
    let bytes: number | null = 0;
    let sinceMs: number | null = null;
    for (const entry of this.#options.registry.all()) {
      const followed = this.#tables.get(entry.identity.location);
      const { version } = entry.state;
      const copied = followed?.version ?? 0;
      if (copied >= version) continue;
      tables++;
      commits += version - copied;
      const waiting = waitingBytes(entry.state, followed?.state ?? null);
      bytes = bytes === null || waiting === null ? null : bytes + waiting;
      sinceMs = Math.min(sinceMs ?? Number.POSITIVE_INFINITY, followed?.behindSinceMs ?? entry.state.updatedMs);
    }
    return { tables, commits, waitingBytes: bytes, sinceMs, secondOnly: this.#secondOnly, error: this.#error };
  }

  /** To be called a few times a second. */
  tick(nowMs: number): void {
    if (this.#isStopped) return;
    this.#look(nowMs);
    if (this.#superseded !== null) return;
    const ours = new Map(this.#options.registry.all().map((entry) => [entry.identity.location, entry]));
    for (const [location, entry] of ours) this.#consider(location, entry, nowMs);
    for (const [location] of this.#tables) if (!ours.has(location)) this.#consider(location, undefined, nowMs);
  }

  stop(): void {
    this.#isStopped = true;
  }

  #consider(location: string, entry: TableEntry | undefined, nowMs: number): void {
    const followed = this.#followed(location);
    const isBehind =
      entry === undefined ? !followed.isSettled : followed.version === null || followed.version < entry.state.version;
    if (!isBehind) return;
    if (followed.behindSinceMs === null) followed.behindSinceMs = entry?.state.updatedMs ?? nowMs;
    if (followed.isRunning || nowMs < followed.retryAtMs || this.#running >= tablesAtOnce) return;
    followed.isRunning = true;
    this.#running++;
    void this.#mirror(location, followed, entry).finally(() => {
      followed.isRunning = false;
      this.#running--;
    });
  }

  async #mirror(location: string, followed: Followed, entry: TableEntry | undefined): Promise<void> {
    const state = entry?.state ?? null;
    try {
      const report = await this.#options.pool.mirrorTable(location);
      followed.failures = 0;
      followed.version = report.version;
      followed.isSettled = report.state === "dropped" || report.state === "absent";
      // Of a table that this server does not know, each comparison is a look.
      const pauseMs = entry === undefined ? this.#options.intervalMs : report.version === 0 ? retryMsMax : 0;
      followed.retryAtMs = Date.now() + pauseMs;
      followed.state = state !== null && report.version >= state.version ? state : null;
      // What came while it was copied is behind since then, at most.
      followed.behindSinceMs = null;
      this.#error = "";
      this.#count(report);
      this.#options.onMirrored(entry, report);
    } catch (error) {
      this.#failed(`mirroring ${entry?.name ?? location}`, error);
      followed.failures++;
      followed.retryAtMs = Date.now() + Math.min(retryMsMax, retryMs * 2 ** (followed.failures - 1));
    }
  }

  #count(report: MirrorReport): void {
    const { commits, objects, bytes, diverged, name } = report;
    this.#totals.commits += commits;
    this.#totals.objects += objects;
    this.#totals.bytes += bytes;
    if (diverged !== null) this.#noteDiverged(name, diverged);
  }

  #noteDiverged(table: string, diverged: Diverged): void {
    this.#totals.diverged += diverged.versions.length;
    const message = "the second pool had commits that the first one never got; they are kept aside there";
    this.#options.log.warn({ table, ...diverged }, message);
  }

  // ---- both pools as a whole

  #look(nowMs: number): void {
    if (this.#isLooking) return;
    const { pool, intervalMs, garbage } = this.#options;
    let work: () => Promise<void>;
    if (this.#superseded !== null) {
      // Until the old pool can be reached, and told: its record is for servers that begin on it later.
      if (nowMs < this.#checkAtMs) return;
      work = () => pool.checkPools();
    } else if (nowMs >= this.#surveyAtMs) {
      this.#surveyAtMs = nowMs + intervalMs;
      work = () => this.#survey();
    } else if (nowMs >= this.#collectAtMs) {
      this.#collectAtMs = nowMs + garbage.intervalMs;
      work = async () => void (await pool.collectMirror(garbage.graceMs));
    } else if (nowMs >= this.#checkAtMs) {
      work = () => pool.checkPools();
    } else return;
    this.#isLooking = true;
    void work()
      .then(
        () => this.#answered(),
        (error: unknown) => this.#failed("comparing the pools", error),
      )
      .finally(() => {
        this.#isLooking = false;
        this.#checkAtMs = Date.now() + checkMs;
      });
  }

  async #survey(): Promise<void> {
    const followed = [...this.#tables.values()];
    const isComplete =
      this.#isSurveyed &&
      this.lag().tables === 0 &&
      followed.every((table) => table.isSettled || table.version !== null);
    const { locations, secondOnly, setAside } = await this.#options.pool.surveyMirror(isComplete);
    for (const { location, ...diverged } of setAside) this.#noteDiverged(location, diverged);
    for (const location of locations) this.#followed(location);
    if (secondOnly.length > 0 && secondOnly.length !== this.#secondOnly) {
      this.#options.log.warn({ locations: secondOnly }, "tables that only the second pool has are left alone");
    }
    this.#secondOnly = secondOnly.length;
    this.#isSurveyed = true;
  }

  /** Both pools: what failed may be tried again at once. */
  #answered(): void {
    if (this.#error === "") return;
    this.#error = "";
    for (const followed of this.#tables.values()) {
      followed.retryAtMs = 0;
      followed.failures = Math.min(followed.failures, 1);
    }
  }

  #failed(doing: string, error: unknown): void {
    if (this.#isStopped) return;
    this.#totals.failures++;
    const { log } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof MiniodbError && error.code === "POOL_SUPERSEDED") {
      const isNews = this.#superseded === null;
      this.#superseded = error;
      if (isNews) log.error({ err: error }, "another pool was promoted: nothing is committed any more");
    } else if (message !== this.#error) {
      log.warn({ err: error }, `failed: ${doing}`);
    }
    this.#error = message;
  }

  #followed(location: string): Followed {
    let followed = this.#tables.get(location);
    if (followed === undefined) {
      const fresh = { version: null, state: null, behindSinceMs: null, isRunning: false, isSettled: false };
      followed = { ...fresh, failures: 0, retryAtMs: 0 };
      this.#tables.set(location, followed);
    }
    return followed;
  }
}

/** Bytes of the files that came since; null where the earlier state is not known. */
function waitingBytes(state: TableState, mirrored: TableState | null): number | null {
  if (mirrored === null) return state.files.length === 0 ? 0 : null;
  const known = new Set(mirrored.files.map(({ key }) => key));
  return state.files.reduce((sum, { key, bytes }) => (known.has(key) ? sum : sum + bytes), 0);
}
