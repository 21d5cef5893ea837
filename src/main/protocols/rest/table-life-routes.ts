import { MiniodbError } from "../../../shared/errors.js";
import type { SchemaService } from "../../catalog/schema-service.js";
import type { Tag, TableHistory } from "../../catalog/table-history.js";
import type { TableEntry } from "../../catalog/table-entry.js";
import type { TableRegistry } from "../../catalog/table-registry.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { RetentionPlan } from "../../upkeep/plan-retention.js";
import type { Retention } from "../../upkeep/retention.js";
import { columnsOfSchema, operationsOfBody } from "../schema-changes.js";
import { dayText } from "./day-text.js";
import { JsonAnswers } from "./json-answers.js";
import { optionalCount, optionalFlag, type JsonObject } from "./json-request.js";
import { readSnapshotTime, tagName } from "./snapshot-time.js";

export interface TableLifeOptions {
  readonly registry: TableRegistry;
  readonly retention: Retention;
  readonly schemas: SchemaService;
  readonly history: TableHistory;
  readonly onInternal: (error: unknown) => void;
}

/** What changes a table that is there, other than its rows and settings: days, columns and snapshots. */
export class TableLifeRoutes {
  readonly #options: TableLifeOptions;
  readonly #answers: JsonAnswers;

  constructor(options: TableLifeOptions) {
    this.#options = options;
    this.#answers = new JsonAnswers(options.onInternal);
  }

  /** Removes what is older than retention_days now, or says what that would be. */
  retention(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { registry, retention } = this.#options;
      const entry = registry.get(name);
      const isDryRun = optionalFlag(body, "dry_run") ?? false;
      const days = retentionDaysOf(body, isDryRun);
      const plan = isDryRun ? retention.plan(entry, days) : await retention.enforce(entry);
      return retentionReply(entry, plan, { isDryRun, days });
    });
  }

  /** The columns as queries see them. */
  schema(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => schemaReply(this.#options.registry.get(name)));
  }

  /** Changes the columns; replies when the new schema is durable in the store. */
  changeSchema(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { registry, schemas } = this.#options;
      const entry = registry.get(name);
      await schemas.change(entry, operationsOfBody(body));
      return { success: true, ...schemaReply(entry) };
    });
  }

  /** Back to an earlier snapshot; replies when that is durable, with the snapshot that it made. */
  rollback(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { registry, history } = this.#options;
      const entry = registry.get(name);
      const at = readSnapshotTime(body);
      if (at === null) {
        throw new MiniodbError("INVALID_REQUEST", "snapshot_id, as_of or tag says where to go back to", {
          field: "snapshot_id",
        });
      }
      await history.rollback(entry, at, optionalFlag(body, "allow_missing_columns") ?? false);
      const { snapshotId, files } = entry.state;
      const rows = files.reduce((sum, file) => sum + file.rows, 0);
      return { success: true, snapshot_id: snapshotId, files: files.length, rows };
    });
  }

  tags(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const tags = await this.#options.history.tags(this.#options.registry.get(name));
      return { tags: tags.map(tagReply), total: tags.length };
    });
  }

  /** Of a snapshot that the body names, else of all that is acknowledged. */
  tag(exchange: HttpExchange, name: string, tag: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const entry = this.#options.registry.get(name);
      return {
        success: true,
        ...tagReply(await this.#options.history.tag(entry, tagName(tag), readSnapshotTime(body))),
      };
    });
  }

  untag(exchange: HttpExchange, name: string, tag: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      await this.#options.history.untag(this.#options.registry.get(name), tagName(tag));
      return { success: true, tag };
    });
  }
}

function tagReply({ name, snapshot }: Tag): Readonly<Record<string, unknown>> {
  const { snapshotId, timestampMs, rows } = snapshot;
  return { tag: name, snapshot_id: snapshotId, timestamp: new Date(timestampMs).toISOString(), rows };
}

function schemaReply({ name, schema }: TableEntry): Readonly<Record<string, unknown>> {
  return { table: name, version: schema.version, columns: columnsOfSchema(schema) };
}

/** Throws INVALID_REQUEST: only a dry run tries another number than the table's own. */
function retentionDaysOf(body: JsonObject, isDryRun: boolean): number | undefined {
  const days = optionalCount(body, "retention_days");
  if (days === undefined || (isDryRun && days > 0)) return days;
  const message = isDryRun
    ? "retention_days must be at least 1"
    : "retention_days here is for dry runs: PUT /v1/tables/{table} changes the table's own";
  throw new MiniodbError("INVALID_REQUEST", message, { field: "retention_days" });
}

function retentionReply(
  entry: TableEntry,
  plan: RetentionPlan,
  asked: { readonly isDryRun: boolean; readonly days: number | undefined },
): Readonly<Record<string, unknown>> {
  const { firstDayKept, days, files, rows, bytes } = plan;
  return {
    success: true,
    dry_run: asked.isDryRun,
    retention_days: asked.days ?? entry.state.settings.retentionDays,
    first_day_kept: dayText(firstDayKept),
    files,
    rows,
    bytes,
    days: days.map((each) => ({ ...each, day: dayText(each.day) })),
  };
}
