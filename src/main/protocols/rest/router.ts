import { MiniodbError } from "../../../shared/errors.js";
import type { HttpExchange, HttpHandler, RequestListener } from "../../sockets/http-server.js";
import type { CompactionRoutes } from "./compaction-routes.js";
import type { BackupRoutes } from "./backup-routes.js";
import type { DeleteRoutes } from "./delete-routes.js";
import type { QueryControlRoutes } from "./query-control-routes.js";
import type { QueryRoutes } from "./query-routes.js";
import { sendReply } from "./send-reply.js";
import type { StatusRoutes } from "./status-routes.js";
import type { TableLifeRoutes } from "./table-life-routes.js";
import type { TableRoutes } from "./table-routes.js";
import { errorReply, thrownReply } from "./write-reply.js";
import type { WriteRoutes } from "./write-routes.js";

export interface Routes {
  readonly write: WriteRoutes;
  readonly table: TableRoutes;
  readonly tableLife: TableLifeRoutes;
  readonly deletes: DeleteRoutes;
  readonly compactions: CompactionRoutes;
  readonly query: QueryRoutes;
  readonly queryControl: QueryControlRoutes;
  readonly backup: BackupRoutes;
  readonly status: StatusRoutes;
  readonly onInternal: (error: unknown) => void;
}

type Route = (exchange: HttpExchange, name: string) => RequestListener | null;
type Methods = Readonly<Record<string, Route>>;

const tablePath =
  /^\/v1\/tables\/([^/]+)(\/rows|\/delete|\/flush|\/snapshots|\/retention|\/compact|\/compactions|\/rollback|\/schema|\/tags)?$/;

/** Paths with names in them. The first name is given to the route, the second, or what stands for it, to `methodsOf`. */
interface NamedPath {
  readonly pattern: RegExp;
  readonly methodsOf: (second: string) => Methods | undefined;
}

/** The REST paths. Everything that a handler throws before its body is answered here. */
export function restHandler(routes: Routes): HttpHandler {
  const exact = exactPaths(routes);
  const named = namedPaths(routes);
  return (exchange) => {
    try {
      const methods = exact.get(exchange.path);
      if (methods !== undefined) return dispatch(exchange, methods, "");
      for (const { pattern, methodsOf } of named) {
        const match = pattern.exec(exchange.path);
        if (match === null) continue;
        const found = methodsOf(decodeName(match[2] ?? ""));
        if (found !== undefined) return dispatch(exchange, found, decodeName(match[1]));
      }
      throw new MiniodbError("NOT_FOUND", `No route ${exchange.path}`, { path: exchange.path });
    } catch (error) {
      sendReply(exchange, thrownReply(error, routes.onInternal));
      return null;
    }
  };
}

function exactPaths({ write, table, deletes, query, queryControl, backup, status }: Routes): Map<string, Methods> {
  return new Map<string, Methods>([
    [
      "/v1/data",
      {
        POST: (exchange) => write.oneRow(exchange),
        PUT: (exchange) => write.replaceRow(exchange),
        DELETE: (exchange) => deletes.ids(exchange),
      },
    ],
    ["/v1/data/restore", { POST: (exchange) => deletes.restore(exchange) }],
    ["/v1/query", { POST: (exchange) => query.query(exchange) }],
    ["/v1/queries", { GET: (exchange) => queryControl.list(exchange) }],
    ["/v1/tables", { POST: (exchange) => table.create(exchange), GET: (exchange) => table.list(exchange) }],
    ["/v1/metadata/backup", { POST: (exchange) => backup.create(exchange) }],
    ["/v1/metadata/restore", { POST: (exchange) => backup.restore(exchange) }],
    ["/v1/metadata/backups", { GET: (exchange) => backup.list(exchange) }],
    ["/v1/metadata/status", { GET: (exchange) => backup.status(exchange) }],
    ["/v1/health", { GET: (exchange) => status.health(exchange), HEAD: (exchange) => status.health(exchange) }],
    ["/metrics", { GET: (exchange) => status.metrics(exchange) }],
  ]);
}

function namedPaths(routes: Routes): readonly NamedPath[] {
  const { tableLife, compactions, queryControl, backup } = routes;
  const ofTable = tableMethods(routes);
  const ofQuery: Methods = {
    GET: (exchange, id) => queryControl.get(exchange, id),
    DELETE: (exchange, id) => queryControl.cancel(exchange, id),
  };
  const ofBackup: Methods = { DELETE: (exchange, id) => backup.remove(exchange, id) };
  const ofVerify: Methods = { POST: (exchange, id) => backup.verify(exchange, id) };
  return [
    { pattern: tablePath, methodsOf: (part) => ofTable[part] },
    { pattern: /^\/v1\/queries\/([^/]+)$/, methodsOf: () => ofQuery },
    { pattern: /^\/v1\/metadata\/backups\/([^/]+)$/, methodsOf: () => ofBackup },
    { pattern: /^\/v1\/metadata\/backups\/([^/]+)\/verify$/, methodsOf: () => ofVerify },
    {
      pattern: /^\/v1\/tables\/([^/]+)\/tags\/([^/]+)$/,
      methodsOf: (tag) => ({
        PUT: (exchange, name) => tableLife.tag(exchange, name, tag),
        DELETE: (exchange, name) => tableLife.untag(exchange, name, tag),
      }),
    },
    {
      pattern: /^\/v1\/tables\/([^/]+)\/compactions\/([^/]+)$/,
      methodsOf: (id) => ({
        GET: (exchange, name) => compactions.get(exchange, name, id),
        DELETE: (exchange, name) => compactions.cancel(exchange, name, id),
      }),
    },
  ];
}

/** By what follows the table's name. */
function tableMethods({
  write,
  table,
  tableLife,
  deletes,
  compactions,
}: Routes): Readonly<Record<string, Methods | undefined>> {
  return {
    "": {
      GET: (exchange, name) => table.get(exchange, name),
      PUT: (exchange, name) => table.change(exchange, name),
      DELETE: (exchange, name) => table.drop(exchange, name),
    },
    "/rows": { POST: (exchange, name) => write.rows(exchange, name) },
    "/delete": { POST: (exchange, name) => deletes.where(exchange, name) },
    "/flush": { POST: (exchange, name) => table.flush(exchange, name) },
    "/compact": { POST: (exchange, name) => compactions.compact(exchange, name) },
    "/compactions": { GET: (exchange, name) => compactions.list(exchange, name) },
    "/retention": { POST: (exchange, name) => tableLife.retention(exchange, name) },
    "/rollback": { POST: (exchange, name) => tableLife.rollback(exchange, name) },
    "/tags": { GET: (exchange, name) => tableLife.tags(exchange, name) },
    "/schema": {
      GET: (exchange, name) => tableLife.schema(exchange, name),
      PATCH: (exchange, name) => tableLife.changeSchema(exchange, name),
    },
    "/snapshots": { GET: (exchange, name) => table.snapshots(exchange, name) },
  };
}

function dispatch(exchange: HttpExchange, methods: Methods, name: string): RequestListener | null {
  const route = Object.hasOwn(methods, exchange.method) ? methods[exchange.method] : undefined;
  if (route !== undefined) return route(exchange, name);
  const allow = Object.keys(methods).join(", ");
  const error = new MiniodbError("METHOD_NOT_ALLOWED", `${exchange.path} takes ${allow}`, { allow });
  const { status, body } = errorReply(error);
  exchange.reply(status, ["content-type", "application/json", "allow", allow], body);
  return null;
}

function decodeName(escaped: string | undefined): string {
  try {
    return decodeURIComponent(escaped ?? "");
  } catch {
    throw new MiniodbError("INVALID_REQUEST", "The table name in the path has a broken percent escape", {
      field: "table",
    });
  }
}
