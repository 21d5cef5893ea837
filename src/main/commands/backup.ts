/**
 * `miniodb backup`, `miniodb backups` and `miniodb restore`. Where a server has the data folder of the configuration they ask it
 * over HTTP: it knows the rows that are not flushed, and has to hear of tables that come and go. Else `backups` and
 * `restore` take the folder as a server does, and work on the stores themselves; a backup cannot be made then.
 */
import { loadConfig, type Config } from "../../shared/config.js";
import { ConfigError } from "../../shared/config-error.js";
import { MiniodbError } from "../../shared/errors.js";
import {
  backupsReply,
  checkReply,
  readRestoreRequest,
  removalReply,
  restoreReply,
} from "../protocols/backup-request.js";
import { formatBackup, formatBackups, formatCheck, formatRestore, type Reply } from "./backup-report.js";
import { callServer, serverUrl } from "./call-server.js";
import { openOffline } from "./open-offline.js";
import { listOf, takeOwnFlags, type OwnFlags } from "./own-flags.js";

type Say = (text: string) => void;

const dayMs = 86_400_000;
const own = {
  withValue: ["--server", "--tables", "--days", "--verify", "--remove", "--backup", "--time", "--rename"],
  plain: ["--full", "--json", "--deep", "--latest", "--overwrite", "--dry-run", "--validate", "--parallel", "--help"],
};

const backupHelp = `Usage: miniodb backup [--full] [--tables a,b] [--server url] [--json] [flags of the server]
       miniodb backups [--days N] [--verify id [--deep]] [--remove id] [--server url] [--json] [flags of the server]
       miniodb restore (--backup id | --latest | --time T) [--tables a,b] [--rename a=b,c=d] [--overwrite] [--dry-run]
                       [--validate] [--parallel] [--server url] [--json] [flags of the server]

Give them the server's own configuration. While it runs they ask it, at http.host and http.port or at --server; without a
server backups and restore work on the data folder and the stores themselves.

  --full       copies all files to backup.folder, backup.bucket or the second pool; else snapshots are kept where they are
  --tables     names, in which * and ? stand for others; without it all
  --deep       reads and compares every byte that there are copies of
  --time       the state of each table at that time (RFC 3339), as far as its snapshots and the backups reach back
  --rename     new names, so that a table comes back beside the one that is there
  --overwrite  in the place of tables that are there; without it those are left alone

Exit codes: 0 done, 1 not or not all of it, 2 a flag or an option is wrong.
`;

type BackupCommand = "backup" | "backups" | "restore";

/** Runs the command; `say` gets what it prints. Answers the exit code. Throws ConfigError. */
export async function runBackupCommand(command: BackupCommand, argv: readonly string[], say: Say): Promise<number> {
  const flags = takeOwnFlags(argv, own);
  if (flags.set.has("--help")) {
    say(backupHelp);
    return 0;
  }
  const config = loadConfig({ argv: flags.rest });
  const url = serverUrl(config, flags.values["--server"]);
  const show = (reply: Reply, format: (reply: Reply) => string): number => {
    say(flags.set.has("--json") ? `${JSON.stringify(reply, null, 2)}\n` : format(reply));
    return reply["success"] === false ? 1 : 0;
  };
  try {
    const isOnline = flags.values["--server"] !== undefined;
    const ask = (work: Work): Promise<Reply> => (isOnline ? work.online(url) : offlineOrNot(config, url, work));
    switch (command) {
      case "backup":
        return show(await makeBackup(flags).online(url), formatBackup);
      case "restore":
        return show(await ask(restore(flags)), formatRestore);
      case "backups": {
        const [work, format] = keepBackups(flags);
        return show(await ask(work), format);
      }
    }
  } catch (error) {
    if (!(error instanceof MiniodbError)) throw error;
    say(`It was not done: ${error.message}\n`);
    return error.code === "INVALID_REQUEST" ? 2 : 1;
  }
}

type Offline = Awaited<ReturnType<typeof openOffline>>;

/** The same work in two ways, with the same reply. */
interface Work {
  readonly online: (url: string) => Promise<Reply>;
  readonly offline: (warehouse: Offline) => Promise<Reply>;
  /** A data folder that is not there is made. */
  readonly isMaking?: boolean;
}

/** The lock of the folder says whether a server runs on it. */
async function offlineOrNot(config: Config, url: string, work: Work): Promise<Reply> {
  let warehouse: Offline;
  try {
    warehouse = await openOffline(config, work.isMaking === true);
  } catch (error) {
    const isHeld = error instanceof MiniodbError && error.code === "SERVER_BUSY" && "folder" in error.details;
    if (!isHeld) throw error;
    return work.online(url);
  }
  try {
    return await work.offline(warehouse);
  } finally {
    await warehouse.close();
  }
}

function makeBackup({ set, values }: OwnFlags): Pick<Work, "online"> {
  const body = { kind: set.has("--full") ? "full" : "pointers", tables: listOf(values["--tables"]) };
  return { online: (url) => callServer(url, { method: "POST", path: "/v1/metadata/backup", body }) };
}

function restore({ set, values }: OwnFlags): Work {
  const rename = Object.fromEntries(listOf(values["--rename"]).map(renaming));
  const body = {
    backup_file: values["--backup"] ?? "",
    from_latest: set.has("--latest"),
    time: values["--time"] ?? "",
    tables: listOf(values["--tables"]),
    rename,
    overwrite: set.has("--overwrite"),
    dry_run: set.has("--dry-run"),
    validate: set.has("--validate"),
    parallel: set.has("--parallel"),
  };
  return {
    isMaking: true,
    online: (url) => callServer(url, { method: "POST", path: "/v1/metadata/restore", body }),
    offline: async ({ restores }) => {
      const request = readRestoreRequest(body);
      return restoreReply(await restores.restore(request), request.isDryRun);
    },
  };
}

function renaming(text: string): [string, string] {
  const [from = "", to = "", ...more] = text.split("=");
  if (from !== "" && to !== "" && more.length === 0) return [from, to];
  throw new ConfigError([`--rename takes old=new, not ${text}`]);
}

function keepBackups({ set, values }: OwnFlags): [Work, (reply: Reply) => string] {
  const { "--verify": verify, "--remove": remove, "--days": days = "0" } = values;
  if (verify !== undefined) return [verifyBackup(verify, set.has("--deep")), formatCheck];
  if (remove !== undefined) {
    const path = `/v1/metadata/backups/${encodeURIComponent(remove)}`;
    const work: Work = {
      online: (url) => callServer(url, { method: "DELETE", path }),
      offline: async ({ pool }) => {
        return removalReply(remove, await pool.removeBackup(remove));
      },
    };
    return [work, formatBackup];
  }
  if (!/^\d{1,6}$/.test(days)) throw new ConfigError([`--days takes a number, not ${days}`]);
  const sinceMs = days === "0" ? 0 : Date.now() - Number(days) * dayMs;
  const work: Work = {
    online: (url) => callServer(url, { method: "GET", path: `/v1/metadata/backups?days=${days}` }),
    offline: async ({ pool }) => backupsReply(await pool.listBackups({ sinceMs, withContents: true })),
  };
  return [work, formatBackups];
}

function verifyBackup(id: string, isDeep: boolean): Work {
  const path = `/v1/metadata/backups/${encodeURIComponent(id)}/verify`;
  return {
    online: (url) => callServer(url, { method: "POST", path, body: { deep: isDeep } }),
    offline: async ({ pool }) => checkReply(await pool.verifyBackup(id, isDeep)),
  };
}
