import { deadLettersTable, newDeadLettersTable } from "../../shared/own-tables.js";
import { frameDurabilities, frameFormats } from "../../shared/ring/frame.js";
import type { TableService } from "../catalog/table-service.js";
import { writeOwn, type OwnWriteParts } from "./own-write.js";

export interface DeadLettersParts extends OwnWriteParts {
  readonly tables: TableService;
  readonly onError: (doing: string, error: unknown) => void;
}

/**
 * Puts rejected rows, one line of NDJSON each, into their table, which is made where it is not there yet. Resolves with the
 * number of rows that are durable in the log: 0 where that failed, as the batch itself is to be answered all the same.
 */
export async function keepLetters({ tables, onError, ...parts }: DeadLettersParts, text: string): Promise<number> {
  try {
    await tables.create(deadLettersTable, newDeadLettersTable, true);
    const durability = frameDurabilities.fsync;
    const write = { table: deadLettersTable, format: frameFormats.ndjson, flags: 0, durability, text };
    return (await writeOwn(parts, write)).accepted;
  } catch (error) {
    onError("keeping rejected rows", error);
    return 0;
  }
}
