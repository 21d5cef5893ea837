import { runPersistTask as run } from "./persist/run-persist-task.js";

/** The piscina task of the seal pool and the persist pool. */
export const runPersistTask = run;
