import { runQueryTask as run } from "./query/run-query-task.js";

/** The piscina task of the query pool. */
export const runQueryTask = run;
