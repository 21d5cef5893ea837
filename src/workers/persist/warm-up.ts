import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BatchBuilder } from "../../shared/columns/batch-builder.js";
import { encodeRowsRecord, recordBytes } from "../../shared/formats/wal-record-v1-encode.js";
import { initialSchema } from "../../shared/schema/table-schema.js";
import { sealRows } from "./seal.js";

/** The first call takes a hundred times as long as the later ones. More calls keep the compiler, and new tables waiting. */
const rounds = 5;
const rowsPerRound = 200;

/** Seals a few rows over and over. Leaves no file. */
export async function warmUp(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `warm-up-${randomUUID()}.parquet`);
  const slice = warmUpSlice();
  try {
    for (let round = 0; round < rounds; round++) {
      await sealRows({
        kind: "seal",
        slice,
        schema: initialSchema,
        afterSequence: 0,
        lastSequence: rowsPerRound,
        path,
      });
    }
  } finally {
    rmSync(path, { force: true });
  }
}

function warmUpSlice() {
  const rules = { addColumns: false, columnsMax: 2, longMeetsDouble: "reject", isCommitted: () => false } as const;
  const builder = new BatchBuilder(initialSchema, rules);
  for (let row = 0; row < rowsPerRound; row++) {
    builder.columns[1]?.setString(row, `id-${row}`);
    builder.endRow({ receivedMicros: row, generateId: null, idRequired: false });
  }
  const batch = builder.finish();
  const block = new SharedArrayBuffer(recordBytes(batch, []));
  const tableUuid = randomUUID();
  const bytes = new Uint8Array(block);
  const length = encodeRowsRecord(bytes, 0, { tableUuid, firstSequence: 1, schemaVersion: 0, batch, batches: [] });
  return { blocks: [block], spans: Int32Array.of(0, 0, length) };
}
