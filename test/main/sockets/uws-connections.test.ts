import { runConformance } from "./run-conformance.js";

runConformance("connections", "uws");
