import { runIngest as run } from "./buffer/run-ingest.js";

/** The piscina task of an ingest worker. */
export const runIngest = run;
