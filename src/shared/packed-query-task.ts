import { assert } from "./assert.js";
import type { QueryTable, QueryTask, SelectStatement } from "./query-messages.js";
import type { TableSchema } from "./schema/table-schema.js";

/**
 * A query task as it goes to the worker. Its largest parts are the same for every query of a table, and objects are
 * written and read field by field: a schema of 20 columns cost 60 µs on each side. So the schema goes as text, which is
 * made once on this side and read once on the other; what only main needs of the statement stays here.
 */
type ExecuteTask = Extract<QueryTask, { readonly kind: "execute" }>;

interface PackedTable extends Omit<QueryTable, "schema"> {
  readonly schemaText: string;
}

interface PackedExecuteTask extends Omit<ExecuteTask, "tables" | "statement"> {
  readonly statement: Omit<SelectStatement, "tables" | "predicates">;
  readonly tables: readonly PackedTable[];
}

export type PackedQueryTask = Exclude<QueryTask, ExecuteTask> | PackedExecuteTask;

const texts = new WeakMap<TableSchema, string>();

export function packTask(task: QueryTask): PackedQueryTask {
  if (task.kind !== "execute") return task;
  const { tables: _tables, predicates: _predicates, ...statement } = task.statement;
  const tables = task.tables.map(({ schema, ...table }) => ({ ...table, schemaText: textOf(schema) }));
  return { ...task, statement, tables };
}

function textOf(schema: TableSchema): string {
  const known = texts.get(schema);
  if (known !== undefined) return known;
  const text = JSON.stringify(schema);
  texts.set(schema, text);
  return text;
}

/** Schemas that one worker keeps: as many as tables are busy at once, and each of their versions. */
const schemasMax = 1_000;
const schemas = new Map<string, TableSchema>();

/** Equal schemas of one thread are the same object. The statement has no tables and predicates any more. */
export function unpackTask(task: PackedQueryTask): QueryTask {
  if (task.kind !== "execute") return task;
  const statement = { ...task.statement, tables: [], predicates: [] };
  const tables = task.tables.map(({ schemaText, ...table }) => ({ ...table, schema: schemaOf(schemaText) }));
  return { ...task, statement, tables };
}

function schemaOf(text: string): TableSchema {
  const known = schemas.get(text);
  if (known !== undefined) return known;
  const [oldest] = schemas.keys();
  if (schemas.size >= schemasMax && oldest !== undefined) schemas.delete(oldest);
  const schema = JSON.parse(text) as TableSchema;
  assert(Array.isArray(schema.columns), "a schema is packed whole");
  schemas.set(text, schema);
  return schema;
}
