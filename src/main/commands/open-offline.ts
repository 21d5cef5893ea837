import { existsSync } from "node:fs";
import type { Config } from "../../shared/config.js";
import { MiniodbError } from "../../shared/errors.js";
import { createLogger } from "../../shared/log.js";
import type { TableIdentity } from "../../shared/messages.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { RestoreService } from "../backup/restore-service.js";
import { ClaimKeeper } from "../lifecycle/claim-keeper.js";
import { dataFolderAt, takeDataFolder } from "../lifecycle/data-folder.js";
import { openPersistPools, type PersistPool, type PersistPools } from "../lifecycle/persist-pool.js";
import { namePattern } from "../protocols/table-info.js";

/** A warehouse without a running server. */
export interface OfflineWarehouse {
  /** Of backups. */
  readonly pool: PersistPool;
  readonly restores: RestoreService;
  close(): Promise<void>;
}

/**
 * Opens the warehouse as a server's start does: with its data folder, which no other process can have then, and on a store
 * without conditional puts with its claim. Rejects with SERVER_BUSY where a server has the folder (`details.folder`), and as a
 * start does; with NOT_FOUND where there is no folder and none `isMade`.
 */
export async function openOffline(config: Config, isMade: boolean): Promise<OfflineWarehouse> {
  const folder = dataFolderAt(config.dataFolder);
  // A mistyped folder would be made, and found empty.
  if (!isMade && !existsSync(folder.root)) {
    throw new MiniodbError("NOT_FOUND", `There is no data folder at ${folder.root}: see dataFolder`);
  }
  const lock = await takeDataFolder(folder);
  let pools: PersistPools | undefined;
  let claim: ClaimKeeper | undefined;
  const close = async (): Promise<void> => {
    await claim?.stop();
    await pools?.close();
    lock.release();
  };
  try {
    const log = createLogger({ level: "silent", format: "json", thread: "command" });
    pools = await openPersistPools(config, folder, log);
    const states = await pools.quick.loadWarehouse();
    // A claim that is lost has the commits refused.
    claim = new ClaimKeeper({ exclusion: pools.exclusion, pool: pools.quick, log, onLost: () => {} });
    claim.start();
    const tables = new Map(states.map(({ identity }) => [nameKey(identity.name), identity]));
    return { pool: pools.backup, restores: openRestores(pools, tables), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function openRestores({ backup, quick }: PersistPools, tables: Map<string, TableIdentity>): RestoreService {
  return new RestoreService({
    pool: backup,
    tables: {
      exists: (name) => tables.has(nameKey(name)),
      publish: async (name, _isOverwriting, publish) => {
        const existing = tables.get(nameKey(name));
        if (existing !== undefined) await quick.dropTable(existing);
        tables.set(nameKey(name), (await publish()).identity);
      },
    },
    matcher: namePattern,
    inTurn: (work) => work(),
    nowMs: Date.now,
  });
}
