/** The rows of the second pool in the option table, config-options.ts. */
import { boolean, choice, integer, type Option, string } from "./option-types.js";

const gib = 1024 ** 3;
const minute = 60_000;
const day = 24 * 60 * minute;

export const mirrorOptions = {
  "mirror.folder": string({
    default: "",
    help: "Folder of the second pool, to which all that is committed is copied; or a bucket, see mirror.bucket. Empty both: there is none.",
  }),
  "mirror.bucket": string({
    default: "",
    legacyEnv: ["MINIO_BACKUP_BUCKET"],
    help: "Bucket of the second pool. With the name of the first one, at another endpoint, other engines read it as it is.",
  }),
  "mirror.prefix": string({ default: "", help: "As store.prefix, of the second pool." }),
  "mirror.endpoint": string({
    default: "",
    legacyEnv: ["MINIO_BACKUP_ENDPOINT"],
    help: "As store.endpoint, of the second pool.",
  }),
  "mirror.tls": boolean({
    default: false,
    legacyEnv: ["MINIO_BACKUP_USE_SSL"],
    help: "As store.tls, of the second pool.",
  }),
  "mirror.region": string({ default: "us-east-1", help: "As store.region, of the second pool." }),
  "mirror.addressing": choice({
    choices: ["auto", "path", "host"],
    default: "auto",
    help: "As store.addressing, of the second pool.",
  }),
  "mirror.accessKeyId": string({
    default: "",
    legacyEnv: ["MINIO_BACKUP_ACCESS_KEY"],
    help: "As store.accessKeyId, of the second pool.",
  }),
  "mirror.secretAccessKey": string({
    default: "",
    legacyEnv: ["MINIO_BACKUP_SECRET_KEY"],
    help: "As store.secretAccessKey, of the second pool.",
  }),
  "mirror.sessionToken": string({ default: "", help: "As store.sessionToken, of the second pool." }),
  "mirror.caFile": string({ default: "", help: "As store.caFile, of the second pool." }),
  "mirror.intervalMs": integer({
    default: minute,
    min: 100,
    max: day,
    help: "Time between two comparisons of the pools' tables. Commits of this node are copied at once.",
  }),
  "mirror.copiesMax": integer({
    default: 4,
    min: 1,
    max: 64,
    help: "Objects that are copied at once; each takes up to 32 MiB of memory, larger ones the disk.",
  }),
  "mirror.rateBytesMax": integer({
    default: 0,
    min: 0,
    max: 1024 * gib,
    help: "Bytes that are copied in a second; 0: as many as go.",
  }),
  "mirror.holdLog": boolean({
    default: true,
    help: "The log keeps rows until the second pool has them too, up to three quarters of wal.bytesMax.",
  }),
} as const satisfies Record<string, Option>;
