import type { IngestOptions } from "../../shared/messages.js";
import { IngestLoop } from "./ingest-loop.js";

/** One long piscina task: returns when main says stop. Throws what would otherwise be lost with the thread. */
export function runIngest(options: IngestOptions): void {
  new IngestLoop(options).run();
}
