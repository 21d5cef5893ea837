/** The rows of backups in the option table, config-options.ts. */
import { boolean, integer, type Option, string } from "./option-types.js";

const gib = 1024 ** 3;

export const backupOptions = {
  "backup.folder": string({
    default: "",
    help: "Folder that full backups are copied to; or a bucket, see backup.bucket. Empty both: the second pool, where there is one.",
  }),
  "backup.bucket": string({
    default: "",
    legacyEnv: ["METADATA_BACKUP_BUCKET"],
    help: "Bucket that full backups are copied to.",
  }),
  "backup.prefix": string({ default: "", help: "As store.prefix, of the backups." }),
  "backup.endpoint": string({
    default: "",
    help: "As store.endpoint, of the backups; empty: the server, region and credentials of store.*.",
  }),
  "backup.tls": boolean({ default: false, help: "As store.tls, of the backups." }),
  "backup.region": string({
    default: "us-east-1",
    help: "As store.region, of the backups, with an endpoint of their own.",
  }),
  "backup.accessKeyId": string({ default: "", help: "As store.accessKeyId, of the backups." }),
  "backup.secretAccessKey": string({ default: "", help: "As store.secretAccessKey, of the backups." }),
  "backup.keyFile": string({
    default: "",
    help: "File with the key that full backups are encrypted under: 32 bytes, or these as 64 hex digits or base64. Empty: not encrypted.",
  }),
  "backup.key": string({
    default: "",
    help: "The key itself, as hex or base64, for the environment; a flag shows in the list of processes.",
  }),
  "backup.schedule": string({
    default: "",
    help: "When pointer backups are made: a cron expression in UTC, such as 0 * * * *; empty: on request only.",
  }),
  "backup.fullSchedule": string({
    default: "",
    help: "When full backups are made: a cron expression in UTC, such as 30 2 * * *; empty: on request only.",
  }),
  "backup.keepDays": integer({
    default: 0,
    min: 0,
    max: 36_500,
    help: "Backups older than this are removed after a scheduled one, but for the newest of each kind; 0: none is.",
  }),
  "backup.copiesMax": integer({
    default: 4,
    min: 1,
    max: 64,
    help: "Objects that a full backup or a restore copies at once; each is in the temporary folder meanwhile.",
  }),
  "backup.rateBytesMax": integer({
    default: 0,
    min: 0,
    max: 1024 * gib,
    help: "Bytes that a full backup or a restore copies in a second; 0: as many as go.",
  }),
} as const satisfies Record<string, Option>;
