import { failpointNames } from "../../src/shared/failpoints.js";
import { testKills } from "./kill-suite.js";

/** No life of this suite makes a backup or restores one; e2e/backup-upkeep.test.ts dies in those. */
const isPassed = (name: string): boolean => !/^(?:backup|restore)\./.test(name);

testKills({
  name: "kill -9",
  skip: false,
  store: () => Promise.resolve({}),
  failpoints: failpointNames.filter(isPassed),
});
