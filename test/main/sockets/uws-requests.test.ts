import { runConformance } from "./run-conformance.js";

runConformance("requests", "uws");
