import { runWal as run } from "./wal/run-wal.js";

/** The piscina task of the WAL thread. */
export const runWal = run;
