import { MiniodbError } from "../../../shared/errors.js";
import type { BackupService } from "../../backup/backup-service.js";
import type { RestoreService } from "../../backup/restore-service.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import {
  backupReply,
  backupsReply,
  checkReply,
  readBackupRequest,
  readRestoreRequest,
  removalReply,
  restoreReply,
  statusReply,
} from "../backup-request.js";
import { namePattern } from "../table-info.js";
import { JsonAnswers } from "./json-answers.js";
import { optionalFlag } from "./json-request.js";

export interface BackupRoutesOptions {
  readonly backups: BackupService;
  readonly restores: RestoreService;
  readonly nodeId: string;
  readonly onInternal: (error: unknown) => void;
}

const dayMs = 86_400_000;
/** As in the original. */
const listedDays = 30;

/** /v1/metadata and below. */
export class BackupRoutes {
  readonly #options: BackupRoutesOptions;
  readonly #answers: JsonAnswers;

  constructor(options: BackupRoutesOptions) {
    this.#options = options;
    this.#answers = new JsonAnswers(options.onInternal);
  }

  /** Replies when the backup is there, durably; a full one takes as long as its copies do. */
  create(exchange: HttpExchange): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { kind, tables } = readBackupRequest(body);
      const matchers = tables.map(namePattern);
      const isWanted = matchers.length === 0 ? null : (name: string) => matchers.some((matches) => matches(name));
      return backupReply(await this.#options.backups.create({ kind, isWanted }));
    });
  }

  restore(exchange: HttpExchange): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const request = readRestoreRequest(body);
      return restoreReply(await this.#options.restores.restore(request), request.isDryRun);
    });
  }

  list(exchange: HttpExchange): RequestListener {
    const text = new URLSearchParams(exchange.query).get("days") ?? String(listedDays);
    return this.#answers.afterBody(exchange, async () => {
      if (!/^\d{1,6}$/.test(text)) {
        throw new MiniodbError("INVALID_REQUEST", "days must be a whole number; 0: all backups", { field: "days" });
      }
      const sinceMs = Number(text) === 0 ? 0 : Date.now() - Number(text) * dayMs;
      return backupsReply(await this.#options.backups.list({ sinceMs, withContents: true }));
    });
  }

  status(exchange: HttpExchange): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      return statusReply(this.#options.nodeId, this.#options.backups.status);
    });
  }

  /** `deep` reads every byte that there are copies of. */
  verify(exchange: HttpExchange, id: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      return checkReply(await this.#options.backups.verify(id, optionalFlag(body, "deep") ?? false));
    });
  }

  remove(exchange: HttpExchange, id: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      return removalReply(id, await this.#options.backups.remove(id));
    });
  }
}
