/**
 * `miniodb failover [--yes] [flags]`: makes the second pool of the configuration the first one. An operator's decision: it
 * reports first how far the second pool is behind, and changes nothing without `--yes`. Then:
 *
 * ```
 * 1. the first pool is fenced, where it can be reached: no commit counts there any more (store/pool-fence.ts)
 * 2. what the second pool still lacks is copied, where it can be: after that it has every commit that counted
 * 3. the second pool's record says that it is first, as of a new epoch, and which version each table had
 * ```
 * Servers are then started with store.* and mirror.* swapped. Back: the same command, in the swapped configuration.
 *
 * It takes no lease, on a store without conditional puts neither (leased-store.ts), as it makes no commit: records of a pool are
 * looked for before they are written and read after (pool-record.ts), versions are copied byte by byte under the numbers that
 * they have. A commit whose put comes after the fence does not count, whoever makes that put: also a server that finishes
 * what another left with the lease looks at the record afterwards.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { loadConfig, type Config } from "../../shared/config.js";
import { MiniodbError } from "../../shared/errors.js";
import { defaultCatalogOptions } from "../../shared/iceberg/catalog-options.js";
import type { PersistWorkerOptions } from "../../shared/messages.js";
import { chooseStore } from "../../shared/store/open-store.js";
import { StoreHealth } from "../../shared/store/store-health.js";
import { dataFolderAt } from "../lifecycle/data-folder.js";
import { mirrorOptionsOf } from "../lifecycle/persist-options.js";
import { openMirrorPool, type PersistPool } from "../lifecycle/persist-pool.js";
import { planFailover, type FailoverPlan } from "./plan-failover.js";

/** Tables that are copied at once, each some objects at once. */
const tablesAtOnce = 2;

type Say = (line: string) => void;

/**
 * Runs the command; `say` gets the lines of its report. Answers the exit code: 0 done, or nothing to decide without --yes;
 * 1 where the pools do not let it. Throws ConfigError.
 */
export async function runFailover(argv: readonly string[], say: Say): Promise<number> {
  const isDecided = argv.includes("--yes");
  const config = loadConfig({ argv: argv.filter((argument) => argument !== "--yes") });
  const temporaryFolder = mkdtempSync(join(tmpdir(), `miniodb-failover-${randomUUID().slice(0, 8)}-`));
  let pool: PersistPool | undefined;
  try {
    const options = workerOptions(config, temporaryFolder);
    if (options === null) {
      say("There is no second pool: set mirror.bucket or mirror.folder as in the server's configuration.");
      return 1;
    }
    pool = openMirrorPool(options);
    return await decide(pool, isDecided, say);
  } catch (error) {
    if (!(error instanceof MiniodbError)) throw error;
    say(`It was broken off: ${error.message}`);
    return 1;
  } finally {
    await pool?.close();
    rmSync(temporaryFolder, { recursive: true, force: true });
  }
}

/** The server's own folders are only read: it may be running. Null without a second pool. */
function workerOptions(config: Config, temporaryFolder: string): PersistWorkerOptions | null {
  const store = chooseStore(dataFolderAt(config.dataFolder).warehouse, config.store);
  const by = `${userInfo().username} on ${hostname()}`;
  const mirror = mirrorOptionsOf(config, { store, storeHealth: new StoreHealth(), by });
  if (mirror === null) return null;
  return {
    store,
    storeHealth: new StoreHealth().memory,
    temporaryFolder,
    partitionsPerRound: 1,
    compactionMemoryBytes: config.compaction.memoryBytes,
    catalog: { ...defaultCatalogOptions, garbageGraceMs: config.garbage.graceMs },
    stopWord: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
    lowPriority: false,
    mirror,
  };
}

async function decide(pool: PersistPool, isDecided: boolean, say: Say): Promise<number> {
  const { first, second } = await pool.inspectPools();
  const plan = planFailover(first, second);
  for (const line of plan.report) say(line);
  if (plan.refusal !== null) {
    say(plan.refusal);
    return 1;
  }
  if (!isDecided) {
    say("Nothing was changed. With --yes the second pool becomes the first one.");
    return 0;
  }
  const missing = plan.isCopied ? await fenceAndCatchUp(pool, plan, say) : plan.behind.length;
  await pool.promoteSecond();
  say(`${second.place} is the first pool now.`);
  if (missing > 0) {
    say(`${missing} tables are as they were there: what they lack is in ${first.place} and in no other pool.`);
  }
  if (!plan.isFirstReachable) {
    say(`${first.place} could not be told. A server that reaches it and the new first pool stops committing to it.`);
  }
  say("Start the servers with store.* and mirror.* swapped: rows that are still in their logs are committed then.");
  return 0;
}

/** Answers how many tables could not be brought to where the first pool has them. */
async function fenceAndCatchUp(pool: PersistPool, plan: FailoverPlan, say: Say): Promise<number> {
  await pool.fenceFirst();
  say("The first pool is fenced: no commit counts there any more.");
  // Commits may have come since the report: all tables are looked at again, after the fence.
  const { first } = await pool.inspectPools();
  const waiting = first.isReachable ? first.tables.map(({ location }) => location) : plan.behind;
  let failed = 0;
  let copied = 0;
  const copySome = async (): Promise<void> => {
    for (let location = waiting.pop(); location !== undefined; location = waiting.pop()) {
      try {
        copied += (await pool.mirrorTable(location, true)).commits;
      } catch (error) {
        failed++;
        say(`Not copied: ${location}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: tablesAtOnce }, copySome));
  say(`${copied} commits were copied to the second pool after that.`);
  return failed;
}
