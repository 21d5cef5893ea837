import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import { HotSegment } from "../catalog/hot-segment.js";

/** A delta with the time it was made, by which it expires. */
export interface LiveDelta {
  readonly segment: HotSegment;
  readonly createdMs: number;
}

/** Where Linux names the present run of the machine. */
const bootIdPath = "/proc/sys/kernel/random/boot_id";
const tailEnding = ".tail";
const deltaPattern = /^([0-9a-f-]{36})\.(\d+)-(\d+)\.s(\d+)\.[0-9a-z]+\.parquet$/;

/**
 * The deltas of tables with live queries, on disk:
 *
 * ```
 * <data>/live/<boot id>.<log's uuid>/
 *   <table uuid>.<after>-<last>.s<schema version>.<unique>.parquet     rows with sequences (after, last]
 *   <table uuid>.s<schema version>.json                                the schema that they were written under
 *   <table uuid>.tail                                                  there is a tail, be it without deltas
 * ```
 * Nothing here is ever synced. A process that dies leaves its files whole, as their bytes are the operating system's;
 * a machine that goes down may not. So the folder bears the name of the machine's run, and another run's is removed.
 */
export class LiveFolder {
  readonly #path: string;
  readonly #schemas = new Set<string>();
  #number = 0;

  /** Removes what an earlier run of the machine, or another log, has left. */
  constructor(root: string, stream: string) {
    const name = `${bootId()}.${stream}`;
    this.#path = join(root, name);
    mkdirSync(this.#path, { recursive: true });
    for (const other of readdirSync(root)) {
      if (other !== name) rmSync(join(root, other), { recursive: true, force: true });
    }
  }

  /** A path for a delta; its schema is written down first. */
  pathFor(uuid: string, schema: TableSchema, after: number, last: number): string {
    const schemaFile = `${uuid}.s${schema.version}.json`;
    if (!this.#schemas.has(schemaFile)) {
      // A version is one schema, except where a crash took one that was never durable: the last writing is the right one.
      writeFileSync(join(this.#path, schemaFile), JSON.stringify(schema));
      this.#schemas.add(schemaFile);
    }
    const unique = `${Date.now().toString(36)}${(++this.#number).toString(36)}`;
    return join(this.#path, `${uuid}.${after}-${last}.s${schema.version}.${unique}.parquet`);
  }

  /** So that the table has a tail again after a restart. */
  mark(uuid: string): void {
    writeFileSync(join(this.#path, uuid + tailEnding), "");
  }

  /** Tables that had a tail in the process before, with their deltas in sequence order. What is neither is removed. */
  recover(): Map<string, LiveDelta[]> {
    const tables = new Map<string, LiveDelta[]>();
    const schemas = new Map<string, TableSchema | null>();
    const files = readdirSync(this.#path);
    for (const file of files) if (file.endsWith(tailEnding)) tables.set(file.slice(0, -tailEnding.length), []);
    for (const file of files) {
      if (file.endsWith(".json") || file.endsWith(tailEnding)) continue;
      const [, uuid = "", after = "", last = "", version = ""] = deltaPattern.exec(file) ?? [];
      const schemaFile = `${uuid}.s${version}.json`;
      if (!schemas.has(schemaFile)) schemas.set(schemaFile, readSchema(join(this.#path, schemaFile)));
      const schema = schemas.get(schemaFile) ?? null;
      const path = join(this.#path, file);
      const deltas = tables.get(uuid);
      if (deltas === undefined || schema === null) {
        rmSync(path, { force: true });
        continue;
      }
      const { size: bytes, mtimeMs: createdMs } = statSync(path);
      const firstSequence = Number(after) + 1;
      const lastSequence = Number(last);
      const rows = lastSequence - firstSequence + 1;
      const segment = new HotSegment({ path, schema, rows, bytes, firstSequence, lastSequence });
      deltas.push({ segment, createdMs });
    }
    for (const deltas of tables.values()) {
      deltas.sort((left, right) => left.segment.firstSequence - right.segment.firstSequence);
    }
    return tables;
  }

  /** The tail is gone, and its schemas with it; its deltas go with their last user. */
  forget(uuid: string): void {
    for (const file of readdirSync(this.#path)) {
      if (file.startsWith(uuid) && !file.endsWith(".parquet")) rmSync(join(this.#path, file), { force: true });
    }
    for (const file of this.#schemas) if (file.startsWith(uuid)) this.#schemas.delete(file);
  }
}

function readSchema(path: string): TableSchema | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as TableSchema;
  } catch {
    return null;
  }
}

/** Where there is none, nothing outlives the process: the name is then new each time. */
function bootId(): string {
  try {
    return readFileSync(bootIdPath, "utf8").trim();
  } catch {
    return `process-${process.pid}-${Date.now()}`;
  }
}
