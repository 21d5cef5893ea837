/** What the persist workers are told of the stores, from the configuration. */
import { hostname } from "node:os";
import type { BackupWorkerOptions } from "../../shared/backup-messages.js";
import type { Config } from "../../shared/config.js";
import { ConfigError } from "../../shared/config-error.js";
import type { StoreOptions } from "../../shared/messages.js";
import type { MirrorWorkerOptions } from "../../shared/mirror-messages.js";
import { chooseBackupPlace, chooseMirror, placeOf } from "../../shared/store/open-store.js";
import { type ExclusionOptions, StoreExclusion } from "../../shared/store/store-exclusion.js";
import type { StoreHealth } from "../../shared/store/store-health.js";
import { backupKeyOf } from "../backup/backup-key.js";
import { type DataFolder, holderOf } from "./data-folder.js";

/** Of servers on one store, if it turns out to have no conditional puts. */
export function exclusionOf({ redis, store, nodeId }: Config, folder: DataFolder): ExclusionOptions {
  const { host, port, username, password, db, tls } = redis;
  return {
    memory: new StoreExclusion().memory,
    redis: host === "" ? null : { host, port, username, password, database: db, isTls: tls },
    claim: { holder: holderOf(folder), node: nodeId === "" ? hostname() : nodeId, staleMs: store.claimMs },
  };
}

export function withExclusion(store: StoreOptions, exclusion: ExclusionOptions): StoreOptions {
  return store.kind === "s3" ? { ...store, exclusion } : store;
}

/** What workers need of the second pool; null where there is none. Throws ConfigError. */
export function mirrorOptionsOf(
  config: Config,
  parts: { readonly store: StoreOptions; readonly storeHealth: StoreHealth; readonly by: string },
): MirrorWorkerOptions | null {
  const store = chooseMirror(config);
  if (store === null) return null;
  const { copiesMax, rateBytesMax } = config.mirror;
  if (placeOf(store) === placeOf(parts.store)) throw new ConfigError(["mirror.* names the same place as store.*"]);
  const places = { firstPlace: placeOf(parts.store), secondPlace: placeOf(store) };
  return { store, storeHealth: parts.storeHealth.memory, ...places, by: parts.by, copiesMax, rateBytesMax };
}

/** What workers need for backups. Throws ConfigError. */
export function backupOptionsOf(config: Config, warehouse: string): BackupWorkerOptions {
  const { copiesMax, rateBytesMax } = config.backup;
  return { store: chooseBackupPlace(config), key: backupKeyOf(config), warehouse, copiesMax, rateBytesMax };
}
