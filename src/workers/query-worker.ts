import { runLiveTask as runLive, runQueryTask as run } from "./query/run-query-task.js";

/** The piscina task of the query pool. */
export const runQueryTask = run;
/** The same for live queries. */
export const runLiveTask = runLive;
