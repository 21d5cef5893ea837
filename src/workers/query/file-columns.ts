import type { QueryTable } from "../../shared/query-messages.js";
import { nameKey, type TableSchema } from "../../shared/schema/table-schema.js";
import type { EngineConnection } from "./duckdb-engine.js";
import { duckdbType, fileList, quoteName, quoteText, viewSql } from "./table-view.js";

/** A view by field ids costs each query a quarter of a millisecond, however few rows it reads; only there it counts. */
const filesMax = 32;
/** Files whose columns one worker remembers: about 1 KiB each. */
const knownFilesMax = 10_000;

interface FileColumn {
  readonly name: string;
  readonly type: string;
}

/** Of tables with up to `filesMax` files; together they take about as much memory as the files' columns. */
const viewsMax = 1_000;

interface TableView {
  readonly sql: string;
  /** Files that are worth learning. */
  readonly unknown: readonly string[];
}

/** The columns of a file by field id, and all of it as one text, equal for files with equal columns. */
interface KnownFile {
  readonly text: string;
  readonly columns: ReadonlyMap<number, FileColumn>;
}

/**
 * What the files that were read before really hold. Where all files of a table have the same columns, under the names
 * and types of the present schema, nothing has to be resolved by field id, and the view is a plain scan:
 *
 * ```
 * SELECT "timestamp", NULL::VARCHAR AS "id", "v" FROM read_parquet([...], hive_partitioning = false)
 * ```
 * A column that no file has is NULL. Files are immutable, so that what was learnt of one stays true; the statistics of
 * the catalog do not say under which names a file was written, as another engine may have renamed a column since.
 */
export class FileColumns {
  /** The longest known first. */
  readonly #known = new Map<string, KnownFile>();
  /** Files that one query has read. Many hot segments are read once, and then merged with the next rows. */
  readonly #seen = new Set<string>();
  /** By the paths of their files. */
  readonly #views = new Map<string, { readonly schema: TableSchema; readonly view: TableView }>();

  /** The table's view, plain where that is known to be the same, and files that are worth learning for the next time. */
  view(table: QueryTable): TableView {
    const paths = [...table.committedFiles, ...table.hotFiles];
    // Rows are told apart by columns of the scan, whose names a file's own columns may have.
    const isWhole = table.deletes === undefined && table.replaced === undefined;
    if (!isWhole || table.places !== undefined) return { sql: viewSql(table), unknown: [] };
    if (paths.length === 0 || paths.length > filesMax) return { sql: viewSql(table), unknown: [] };
    const unknown = paths.filter((path) => !this.#known.has(path));
    if (unknown.length === 0) return this.#settled(table, paths);
    return { sql: viewSql(table), unknown: unknown.filter((path) => this.#wasSeen(path)) };
  }

  /** Nothing about these files can change: the next query of the same ones finds the view made. */
  #settled(table: QueryTable, paths: readonly string[]): TableView {
    const key = paths.join("\n");
    const last = this.#views.get(key);
    if (last?.schema === table.schema) return last.view;
    if (this.#views.size >= viewsMax) this.#views.clear();
    const view = { sql: this.#plainSql(table, paths) ?? viewSql(table), unknown: [] };
    this.#views.set(key, { schema: table.schema, view });
    return view;
  }

  #wasSeen(path: string): boolean {
    if (this.#seen.has(path)) return true;
    if (this.#seen.size >= knownFilesMax) this.#seen.clear();
    this.#seen.add(path);
    return false;
  }

  /** Reads the columns of these files from their footers. Errors are DuckDB's. */
  async learn(connection: EngineConnection, paths: readonly string[]): Promise<void> {
    const result = await connection.duckdb.run(
      `SELECT file_name, field_id, name, duckdb_type FROM parquet_schema(${fileList(paths)}) WHERE field_id IS NOT NULL`,
    );
    const files = new Map<string, Map<number, FileColumn>>();
    for (const [path, fieldId, name, type] of await result.getRows()) {
      const columns = files.get(String(path)) ?? new Map<number, FileColumn>();
      columns.set(Number(fieldId), { name: String(name), type: String(type) });
      files.set(String(path), columns);
    }
    for (const [path, columns] of files) this.#known.set(path, { columns, text: textOf(columns) });
    for (const path of this.#known.keys()) {
      if (this.#known.size <= knownFilesMax) break;
      this.#known.delete(path);
    }
  }

  #plainSql(table: QueryTable, paths: readonly string[]): string | null {
    const first = this.#known.get(paths[0] ?? "");
    if (first === undefined || paths.some((path) => this.#known.get(path)?.text !== first.text)) return null;
    const selected: string[] = [];
    for (const column of table.schema.columns) {
      if (column.replacesFieldId !== undefined) return null;
      const type = duckdbType(column);
      const inFile = first.columns.get(column.fieldId);
      if (inFile === undefined) {
        selected.push(`NULL::${type} AS ${quoteName(column.name)}`);
      } else if (nameKey(inFile.name) === nameKey(column.name) && inFile.type === longName(type)) {
        selected.push(
          inFile.name === column.name
            ? quoteName(column.name)
            : `${quoteName(inFile.name)} AS ${quoteName(column.name)}`,
        );
      } else {
        return null;
      }
    }
    return `SELECT ${selected.join(", ")} FROM read_parquet(${fileList(paths)}, hive_partitioning = false)`;
  }
}

/** As parquet_schema names it. */
function longName(type: string): string {
  return type === "TIMESTAMPTZ" ? "TIMESTAMP WITH TIME ZONE" : type;
}

function textOf(columns: ReadonlyMap<number, FileColumn>): string {
  return [...columns].map(([fieldId, { name, type }]) => `${fieldId} ${quoteText(name)} ${type}`).join(", ");
}
