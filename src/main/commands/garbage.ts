/**
 * `miniodb garbage [--delete] [--json] [--files] [flags of the server]`: what the warehouse holds that no metadata names,
 * and its removal. The rules are those of the server's own collector (shared/iceberg/collect-garbage.ts), so that both may
 * run at once, on one machine or on several: each removes only what no query can have begun on and no commit can name.
 *
 * One thing only the server knows: a result that a client pages through for longer than the grace time, at the pace that
 * query.cursorAgeMs asks for, reads files that the server's collector keeps for it and this command does not.
 */
import { existsSync } from "node:fs";
import { loadConfig, type Config } from "../../shared/config.js";
import { ConfigError } from "../../shared/config-error.js";
import { catalogContext, type CatalogContext } from "../../shared/iceberg/catalog-context.js";
import { removeGarbage, surveyGarbage, type TableGarbage } from "../../shared/iceberg/collect-garbage.js";
import type { StoreOptions } from "../../shared/messages.js";
import { chooseStore, openStore, placeOf } from "../../shared/store/open-store.js";
import { PoolFence } from "../../shared/store/pool-fence.js";
import { ObjectNotFound } from "../../shared/store/object-store.js";
import { RetryingStore } from "../../shared/store/retrying-store.js";
import { dataFolderAt } from "../lifecycle/data-folder.js";
import { formatGarbage, sumOf, tableInfo, type GarbageInfo, type TableInfo } from "./garbage-report.js";

export interface GarbageCommand {
  readonly config: Config;
  readonly isDeleting: boolean;
  readonly withKeys: boolean;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

const ownFlags = ["--delete", "--json", "--files", "--help"];
/** A query may run so long beyond its own limit until it is seen to have ended. */
const queryEndMsMax = 60_000;
/**
 * A server that runs with the default grace time may still commit a data file that was uploaded so long ago (see
 * CatalogOptions.garbageGraceMs); what it runs with is not known here.
 */
const deleteGraceMsMin = 30 * 60_000;
const retryOptions = { attemptsMax: 4, waitMs: 50, waitMsMax: 1_000, deadlineMs: 60_000 };

const help = `Usage: miniodb garbage [--delete] [--json] [--files] [--config file.yaml] [flags of the server]

Reports, per table, what the warehouse holds that no metadata names: files of crashed commits, old versions, dropped
tables. What is younger than garbage.graceMs, or was in use more recently, is counted apart. Safe beside a running server;
give it the server's own configuration.

  --delete   remove what is past the grace time; without it nothing is changed
  --json     one JSON object, for programs
  --files    list the keys, too

Exit codes: 0 done, 1 something could not be read or removed, 2 a flag or an option is wrong.
`;

/** Prints the report; the exit code is set, not thrown. */
export async function runGarbage(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) {
    process.stdout.write(help);
    return;
  }
  try {
    const config = loadConfig({ argv: argv.filter((argument) => !ownFlags.includes(argument)) });
    const isDeleting = argv.includes("--delete");
    const info = await collect({ config, isDeleting, withKeys: argv.includes("--files"), nowMs: Date.now });
    process.stdout.write(argv.includes("--json") ? `${JSON.stringify(info, null, 2)}\n` : formatGarbage(info));
    if (info.failed.length > 0) process.exitCode = 1;
  } catch (error) {
    process.stderr.write(`${sentence(error)}\n`);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}

/**
 * Looks, and removes where it is to. Tables that fail are in the report; throws what makes the whole warehouse unreadable,
 * and ConfigError for a grace time that is no protection.
 */
export async function collect(command: GarbageCommand): Promise<GarbageInfo> {
  const { config, isDeleting, withKeys, nowMs } = command;
  const graceMs = Math.max(config.garbage.graceMs, config.query.timeoutMs + queryEndMsMax);
  if (isDeleting && graceMs < deleteGraceMsMin) {
    throw new ConfigError([
      `garbage.graceMs is ${graceMs} ms: --delete wants ${deleteGraceMsMin} ms or more, as a running server may still commit files that are younger`,
    ]);
  }
  const options = chooseStore(dataFolderAt(config.dataFolder).warehouse, config.store);
  const context = await openCatalog(options, nowMs);
  const tables: TableInfo[] = [];
  const failed: { folder: string; error: string }[] = [];
  for await (const found of surveyGarbage(context, { graceMs })) {
    const error = "error" in found ? found.error : isDeleting ? await remove(context, found) : undefined;
    if (error !== undefined) failed.push({ folder: found.location, error: sentence(error) });
    else if (!("error" in found)) tables.push(tableInfo(found, nowMs(), withKeys));
  }
  const total = {
    garbage: sumOf(tables.map(({ garbage }) => garbage)),
    insideGrace: sumOf(tables.map(({ insideGrace }) => insideGrace)),
  };
  return { warehouse: placeOf(options), graceMs, isDeleted: isDeleting, tables, total, failed };
}

/** Undefined when all of it went. */
async function remove(context: CatalogContext, garbage: TableGarbage): Promise<unknown> {
  try {
    // To end a table that never became live is a commit: the server's matter, which may have to hold a lease for it.
    await removeGarbage(context, { ...garbage, isAbandoned: false });
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Without the sweep of a server's start, which would take a running server's files. */
async function openCatalog(options: StoreOptions, nowMs: () => number): Promise<CatalogContext> {
  // A mistyped folder would be made, and found clean.
  if (options.kind === "local" && !existsSync(options.folder)) {
    throw new Error(`There is no warehouse at ${options.folder}: see dataFolder and store.bucket`);
  }
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const clock = { random: Math.random, sleep, nowMs: () => performance.now() };
  const store = new RetryingStore(await openStore(options), { ...retryOptions, ...clock });
  // A pool that another one has replaced is left as it is: what the mirror copies from it must not go.
  const fence = new PoolFence(store, new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  return catalogContext(store, { nowMs, checkFence: () => fence.check() });
}

function sentence(error: unknown): string {
  if (error instanceof ObjectNotFound) return `it changed while it was read (${error.message} is gone): look again`;
  return error instanceof Error ? error.message : String(error);
}
