import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { columnTypes, type ColumnType } from "../../shared/schema/column-type.js";
import type { ColumnPlace, SchemaOperation } from "../../shared/schema/schema-operations.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";

type Fields = Readonly<Record<string, unknown>>;

/** By `op`: which fields each has beside `op` and `name`. */
const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  add: ["type", "comment", "after"],
  rename: ["to"],
  drop: [],
  move: ["after"],
  type: ["type"],
  comment: ["comment"],
};

/**
 * The list `changes` of a request: `{"op":"rename","name":"a","to":"b"}` and so on, see the README. Throws INVALID_REQUEST,
 * naming the field and, by its number from 0, the change.
 */
export function operationsOfBody(body: Fields): SchemaOperation[] {
  const changes = body["changes"];
  if (!Array.isArray(changes) || changes.length === 0 || changes.length > limits.schemaOperationsMax) {
    const message = `changes must be a list of 1 to ${limits.schemaOperationsMax} changes`;
    throw new MiniodbError("INVALID_REQUEST", message, { field: "changes" });
  }
  return changes.map((change: unknown, index) => {
    if (typeof change !== "object" || change === null || Array.isArray(change)) {
      throw new MiniodbError("INVALID_REQUEST", "a change must be an object", { field: "changes", change: index });
    }
    return operationOf(new ChangeReader(change as Fields, index));
  });
}

/** The columns as a reply has them; `id` is the field id, which stays when the name changes. */
export function columnsOfSchema(schema: TableSchema): readonly Fields[] {
  return schema.columns.map(({ fieldId, name, type, required, comment, encryption }) => {
    const isEncrypted = encryption?.isOn === true;
    return {
      id: fieldId,
      name,
      type,
      required,
      ...(isEncrypted && { encrypted: true }),
      ...(comment === undefined ? {} : { comment }),
    };
  });
}

function operationOf(change: ChangeReader): SchemaOperation {
  const op = change.text("op");
  const fields = Object.hasOwn(fieldsOf, op) ? fieldsOf[op] : undefined;
  if (fields === undefined) throw change.wrong("op", `one of ${Object.keys(fieldsOf).join(", ")}`);
  change.refuseOthers(["op", "name", ...fields]);
  const name = change.text("name");
  switch (op) {
    case "add":
      return { kind: "add", name, type: change.type(), comment: change.comment(), after: change.place() };
    case "rename":
      return { kind: "rename", name, to: change.text("to") };
    case "move":
      return { kind: "move", name, after: change.place() };
    case "type":
      return { kind: "type", name, type: change.type() };
    case "comment":
      return { kind: "comment", name, comment: change.comment() };
    default:
      return { kind: "drop", name };
  }
}

/** Reads the fields of one change. */
class ChangeReader {
  readonly #fields: Fields;
  readonly #index: number;

  constructor(fields: Fields, index: number) {
    this.#fields = fields;
    this.#index = index;
  }

  text(field: string): string {
    const value = this.#fields[field];
    if (typeof value === "string" && value !== "") return value;
    throw this.wrong(field, "a text");
  }

  type(): ColumnType {
    const type = columnTypes.find((known) => known === this.#fields["type"]);
    if (type === undefined) throw this.wrong("type", `one of ${columnTypes.join(", ")}`);
    return type;
  }

  /** Null, absent or empty: none. */
  comment(): string | null {
    const value = this.#fields["comment"] ?? "";
    const isFine = typeof value === "string" && value.length <= limits.columnCommentCharactersMax;
    if (isFine) return value === "" ? null : value;
    throw this.wrong("comment", `a text of at most ${limits.columnCommentCharactersMax} characters`);
  }

  /** `after`: a column, null for the front, absent for the end. */
  place(): ColumnPlace {
    const value = this.#fields["after"];
    if (value === undefined) return { kind: "last" };
    if (value === null) return { kind: "first" };
    return { kind: "behind", name: this.text("after") };
  }

  refuseOthers(names: readonly string[]): void {
    const stranger = Object.keys(this.#fields).find((name) => !names.includes(name));
    if (stranger !== undefined) throw this.wrong(stranger.slice(0, 100), `left out: it is none of ${names.join(", ")}`);
  }

  wrong(field: string, expected: string): MiniodbError {
    const details = { field, change: this.#index };
    return new MiniodbError("INVALID_REQUEST", `${field} of a change must be ${expected}`, details);
  }
}
