import { failpointNames } from "../../src/shared/failpoints.js";
import { testKills } from "./kill-suite.js";

testKills({ name: "kill -9", skip: false, store: () => Promise.resolve({}), failpoints: failpointNames });
