import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { FaultyStore, type FaultPlan } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { PoolFence } from "../../../src/shared/store/pool-fence.js";
import type { PersistContext } from "../../../src/workers/persist/persist-context.js";

/** A warehouse in a folder of its own, on a store whose faults a test can plan. */
export interface TestWarehouse {
  readonly folder: string;
  readonly store: FaultyStore;
  readonly context: PersistContext;
  readonly temporaryFiles: () => string[];
  /** Keys of all data files in the store, named by a commit or not. */
  readonly dataKeys: () => Promise<string[]>;
  readonly remove: () => void;
}

export function openTestWarehouse(plan: FaultPlan = () => undefined): TestWarehouse {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-persist-"));
  const temporaryFolder = join(folder, "temporary");
  mkdirSync(temporaryFolder);
  const local = new LocalStore({ root: join(folder, "warehouse"), disk: new RealDisk(), sweepTemporary: true });
  const store = new FaultyStore(local, plan);
  const context: PersistContext = {
    store,
    readStore: store,
    secondStore: null,
    fence: new PoolFence(store, new SharedArrayBuffer(8)),
    catalog: new TableCatalog(store, { sleep: () => Promise.resolve() }),
    temporaryFolder,
    partitionsPerRound: 3,
    compactionMemoryBytes: 64 * 1024 * 1024,
    stopWord: new Int32Array(new SharedArrayBuffer(4)),
    nowMs: Date.now,
    sleep: () => Promise.resolve(),
  };
  return {
    folder,
    store,
    context,
    temporaryFiles: () => readdirSync(temporaryFolder),
    dataKeys: async () => {
      const keys: string[] = [];
      for await (const { key } of local.list("")) if (key.includes("/data/")) keys.push(key);
      return keys;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
