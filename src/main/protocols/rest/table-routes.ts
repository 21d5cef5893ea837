import type { SnapshotInfo } from "../../../shared/iceberg/table-history.js";
import { withPatch } from "../../../shared/schema/table-settings.js";
import type { OwnerQuestions } from "../../catalog/owner-questions.js";
import type { SchemaService } from "../../catalog/schema-service.js";
import type { TableEntry } from "../../catalog/table-entry.js";
import type { TableRegistry } from "../../catalog/table-registry.js";
import type { TableService } from "../../catalog/table-service.js";
import { tableStatistics } from "../../catalog/table-statistics.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { FlushCoordinator } from "../../upkeep/flush-coordinator.js";
import {
  configOfTable,
  encryptionChange,
  refuseSorted,
  schemaWithEncrypted,
  takeEncryptedColumns,
} from "../encrypted-columns.js";
import { checkMode, patchOfConfig, settingsOfConfig } from "../table-config.js";
import { namePattern, tableInfo } from "../table-info.js";
import { JsonAnswers } from "./json-answers.js";
import { optionalFlag, requiredText, type JsonObject } from "./json-request.js";

export interface TableRoutesOptions {
  readonly registry: TableRegistry;
  readonly tables: TableService;
  readonly schemas: SchemaService;
  /** This node can encrypt columns. */
  readonly hasColumnKeys: boolean;
  readonly owners: OwnerQuestions;
  readonly flushes: FlushCoordinator;
  /** Rows that a query of the table sees. */
  readonly countRows: (table: string) => Promise<number>;
  readonly listSnapshots: (table: string) => Promise<readonly SnapshotInfo[]>;
  readonly onInternal: (error: unknown) => void;
}

/** /v1/tables and below, but for the rows. */
export class TableRoutes {
  readonly #options: TableRoutesOptions;
  readonly #answers: JsonAnswers;

  constructor(options: TableRoutesOptions) {
    this.#options = options;
    this.#answers = new JsonAnswers(options.onInternal);
  }

  create(exchange: HttpExchange): RequestListener {
    return this.#answers.withBody(exchange, (body) => this.#create(body));
  }

  list(exchange: HttpExchange): RequestListener {
    const pattern = new URLSearchParams(exchange.query).get("pattern") ?? "";
    return this.#answers.afterBody(exchange, async () => {
      const matches = namePattern(pattern);
      const entries = this.#options.registry.all().filter((entry) => matches(entry.name));
      const tables = await Promise.all(entries.map((entry) => this.#describe(entry)));
      return tables.length === 0 ? {} : { tables, total: tables.length };
    });
  }

  get(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      return { table_info: await this.#describe(this.#options.registry.get(name)) };
    });
  }

  /** Changes the settings that `config` names; replies when they are durable and act. */
  change(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { tables, registry, schemas, hasColumnKeys } = this.#options;
      const { config, names } = takeEncryptedColumns(body["config"], hasColumnKeys);
      const patch = patchOfConfig(config);
      const entry = registry.get(name);
      checkMode(withPatch(entry.state.settings, patch));
      refuseSorted(entry.schema, patch.sortOrder ?? []);
      if (names === null) await tables.changeSettings(name, patch);
      else await schemas.change(entry, [encryptionChange(names)], patch);
      const message = `Table ${entry.name} changed successfully`;
      return { success: true, message, config: configOfTable(entry) };
    });
  }

  drop(exchange: HttpExchange, name: string): RequestListener {
    const ifExists = new URLSearchParams(exchange.query).get("if_exists") === "true";
    return this.#answers.afterBody(exchange, async () => {
      const { registry, tables } = this.#options;
      if (ifExists && registry.find(name) === undefined) {
        return { success: true, message: `Table ${name} does not exist`, files_deleted: 0 };
      }
      const { filesDeleted } = await tables.drop(name);
      return { success: true, message: `Table ${name} dropped successfully`, files_deleted: filesDeleted };
    });
  }

  /** Replies when a commit in the object store covers every row that was acknowledged before the request. */
  flush(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const { registry, flushes } = this.#options;
      const entry = registry.get(name);
      const before = entry.flushedSequence;
      await flushes.stored(entry, entry.ackedSequence);
      const { version, snapshotId, files } = entry.state;
      const rows = entry.flushedSequence - before;
      return { success: true, rows, version, snapshot_id: snapshotId, files: files.length };
    });
  }

  /** The states that a query can go back to, newest first. */
  snapshots(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const snapshots = await this.#options.listSnapshots(name);
      return { snapshots: snapshots.map(snapshotInfo), total: snapshots.length };
    });
  }

  async #create(body: JsonObject): Promise<unknown> {
    const name = requiredText(body, "table_name");
    const { config, names } = takeEncryptedColumns(body["config"], this.#options.hasColumnKeys);
    const settings = settingsOfConfig(config);
    const schema = schemaWithEncrypted(names ?? [], settings);
    const ifNotExists = optionalFlag(body, "if_not_exists") ?? false;
    await this.#options.tables.create(name, { settings, schema }, ifNotExists);
    return { success: true, message: `Table ${name} created successfully` };
  }

  async #describe(entry: TableEntry): Promise<Readonly<Record<string, unknown>>> {
    return tableInfo(entry, await tableStatistics(entry, this.#options.owners, this.#options.countRows));
  }
}

function snapshotInfo(snapshot: SnapshotInfo): Readonly<Record<string, unknown>> {
  const { snapshotId, timestampMs, isCurrent, rows, files, bytes, operation, tags } = snapshot;
  const timestamp = new Date(timestampMs).toISOString();
  return { snapshot_id: snapshotId, timestamp, is_current: isCurrent, rows, files, bytes, operation, tags };
}
