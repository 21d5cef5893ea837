import { openDisk } from "../disk/open-disk.js";
import type { StoreOptions } from "../messages.js";
import { LocalStore } from "./local-store.js";
import type { ObjectStore } from "./object-store.js";

/** What the module of a `module` store exports. */
export interface StoreModule {
  readonly openStore: (folder: string, sweepTemporary: boolean) => ObjectStore;
}

/**
 * The store of a warehouse whose folder this is: the folder itself. Tests of a whole server set MINIODB_TEST_STORE to the
 * URL of a module that makes another one of it, such as one across a slow network that loses answers.
 */
export function chooseStore(folder: string, moduleUrl: string = process.env["MINIODB_TEST_STORE"] ?? ""): StoreOptions {
  return moduleUrl === "" ? { kind: "local", folder } : { kind: "module", url: moduleUrl, folder };
}

/**
 * A client of the store, for one thread. `sweepTemporary` removes what crashed writers left; running writers' files go
 * too, so that it is for the first client of a process alone.
 */
export async function openStore(options: StoreOptions, sweepTemporary: boolean): Promise<ObjectStore> {
  switch (options.kind) {
    case "local":
      return new LocalStore({ root: options.folder, disk: openDisk(), sweepTemporary });
    case "module": {
      const { openStore } = (await import(options.url)) as StoreModule;
      return openStore(options.folder, sweepTemporary);
    }
  }
}
