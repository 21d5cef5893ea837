import { failpointNames } from "../../src/shared/failpoints.js";
import { testKills } from "./kill-suite.js";

/** No life of this suite makes a backup, restores one, or deletes softly: backup-upkeep.test.ts and crash-soft-delete.test.ts die in those. */
const isPassed = (name: string): boolean => !/^(?:backup|restore|keep)\./.test(name);

testKills({
  name: "kill -9",
  skip: false,
  store: () => Promise.resolve({}),
  failpoints: failpointNames.filter(isPassed),
});
