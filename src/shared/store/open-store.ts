import { resolve } from "node:path";
import type { Config } from "../config.js";
import { ConfigError } from "../config-error.js";
import { openDisk } from "../disk/open-disk.js";
import type { StoreOptions } from "../messages.js";
import { LocalStore } from "./local-store.js";
import type { ObjectStore } from "./object-store.js";
import { warehouseUri, type S3Options } from "./s3-options.js";

/** What the module of a `module` store exports. */
export interface StoreModule {
  readonly openStore: (folder: string, sweepTemporary: boolean) => ObjectStore;
}

/** Parts of one file that are uploaded at once, and in memory. */
const partsAtOnce = 4;

/**
 * The store that the configuration names: a bucket, or the folder. Tests of a whole server set MINIODB_TEST_STORE to the
 * URL of a module that makes another one of the folder, such as one across a slow network that loses answers. Throws
 * ConfigError where options do not go together.
 */
export function chooseStore(
  folder: string,
  config: Config["store"],
  moduleUrl: string = process.env["MINIODB_TEST_STORE"] ?? "",
): StoreOptions {
  if (moduleUrl !== "") return { kind: "module", url: moduleUrl, folder };
  if (config.bucket !== "") {
    return { kind: "s3", s3: s3OptionsOf(config, "store"), startTimeoutMs: config.startTimeoutMs };
  }
  if (config.endpoint !== "") {
    throw new ConfigError(["store.endpoint is set, but store.bucket is not"]);
  }
  return { kind: "local", folder };
}

/**
 * The second pool, to which the first is mirrored; null where there is none. What is not said of it (connections, times,
 * sizes of parts) is as in the first. Throws ConfigError where options do not go together.
 */
export function chooseMirror({ store, mirror }: Pick<Config, "store" | "mirror">): StoreOptions | null {
  const { folder, bucket, prefix, endpoint, tls, region, addressing } = mirror;
  if (folder !== "" && bucket !== "") throw new ConfigError(["of mirror.folder and mirror.bucket only one may be set"]);
  if (folder !== "") return { kind: "local", folder: resolve(folder) };
  if (bucket === "") {
    if (endpoint !== "") throw new ConfigError(["mirror.endpoint is set, but mirror.bucket is not"]);
    return null;
  }
  const { accessKeyId, secretAccessKey, sessionToken, caFile } = mirror;
  const place = { bucket, prefix, endpoint, tls, region, addressing };
  const merged = { ...store, ...place, accessKeyId, secretAccessKey, sessionToken, caFile };
  return { kind: "s3", s3: s3OptionsOf(merged, "mirror"), startTimeoutMs: store.startTimeoutMs };
}

/**
 * Where full backups go; null: into the second pool. What is not said of a bucket is as in store.*. Throws ConfigError where
 * options do not go together.
 */
export function chooseBackupPlace({ store, backup }: Pick<Config, "store" | "backup">): StoreOptions | null {
  const { folder, bucket, prefix, endpoint, tls, region, accessKeyId, secretAccessKey } = backup;
  if (folder !== "" && bucket !== "") throw new ConfigError(["of backup.folder and backup.bucket only one may be set"]);
  if (folder !== "") return { kind: "local", folder: resolve(folder) };
  if (bucket === "") {
    if (endpoint !== "") throw new ConfigError(["backup.endpoint is set, but backup.bucket is not"]);
    return null;
  }
  const isOwn = endpoint !== "" || accessKeyId !== "";
  const own = { accessKeyId, secretAccessKey, sessionToken: "", ...(endpoint !== "" && { endpoint, tls, region }) };
  const merged = { ...store, bucket, prefix, ...(isOwn && own) };
  return { kind: "s3", s3: s3OptionsOf(merged, "backup"), startTimeoutMs: store.startTimeoutMs };
}

/** Where a store is, without secrets: for logs, and for the record of a pool. */
export function placeOf(store: StoreOptions): string {
  return store.kind === "s3" ? `${warehouseUri(store.s3)} at ${store.s3.endpoint || "AWS"}` : store.folder;
}

/** `section` is for the messages: all places are set by options of the same names. */
function s3OptionsOf(config: Config["store"], section: "store" | "mirror" | "backup"): S3Options {
  const problems: string[] = [];
  const endpoint = endpointOf(config, section, problems);
  const prefix = config.prefix.replace(/^\/+|\/+$/g, "");
  // Shortest and longest names that AWS has; other servers' rules are no looser.
  if (!/^[A-Za-z0-9][\w.-]{1,253}$/.test(config.bucket)) {
    problems.push(`${section}.bucket ${config.bucket} is no bucket's name`);
  }
  if (/(?:^|\/)\.{0,2}(?:\/|$)|\p{Cc}/u.test(prefix) && prefix !== "") {
    problems.push(
      `${section}.prefix ${JSON.stringify(config.prefix)} has an empty, a dot segment or a control character`,
    );
  }
  if ((config.accessKeyId === "") !== (config.secretAccessKey === "")) {
    problems.push(`of ${section}.accessKeyId and ${section}.secretAccessKey only one is set`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const { addressing, startTimeoutMs: _startTimeoutMs, tls: _tls, ...same } = config;
  const isPathStyle = addressing === "path" || (addressing === "auto" && endpoint !== "");
  return { ...same, prefix, endpoint, isPathStyle, partsAtOnce };
}

/** MinIO's own tools give it as `host:port`. */
function endpointOf({ endpoint, tls }: Config["store"], section: string, problems: string[]): string {
  if (endpoint === "") return "";
  const url = /^https?:\/\//.test(endpoint) ? endpoint : `${tls ? "https" : "http"}://${endpoint}`;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  // A user's name and password in it would show in the log.
  const isPlain = parsed?.username === "" && parsed.search === "" && parsed.hash === "";
  if (!isPlain) {
    problems.push(`${section}.endpoint is not a URL of http or https without user and query, nor host:port`);
  }
  return url.replace(/\/+$/, "");
}

/** A client of the store, for one thread. Nothing is repeated or held back by it; see persist-context.ts. */
export async function openStore(options: StoreOptions): Promise<ObjectStore> {
  switch (options.kind) {
    case "local":
      return new LocalStore({ root: options.folder, disk: openDisk(), sweepTemporary: false });
    case "s3": {
      // The SDK takes a third of a second to load: not for those who do without it.
      const [{ openS3Client }, { S3Store }] = await Promise.all([import("./s3-client.js"), import("./s3-store.js")]);
      const store = new S3Store(openS3Client(options.s3), options.s3);
      if (options.exclusion === undefined) return store;
      const { withExclusion } = await import("./arrange-exclusion.js");
      return withExclusion(store, options.exclusion, warehouseUri(options.s3));
    }
    case "module": {
      const { openStore } = (await import(options.url)) as StoreModule;
      return openStore(options.folder, false);
    }
  }
}

/**
 * For the first task of a process, before any other opens the store: sees that it can be used, and removes what crashed
 * writers left. Running writers' files go too where the store is local. Throws STORE_UNAVAILABLE with a sentence for the
 * operator.
 */
export async function prepareStore(options: StoreOptions): Promise<void> {
  switch (options.kind) {
    case "local":
      new LocalStore({ root: options.folder, disk: openDisk(), sweepTemporary: true });
      return;
    case "s3": {
      return prepareS3(options);
    }
    case "module": {
      const { openStore } = (await import(options.url)) as StoreModule;
      openStore(options.folder, true);
    }
  }
}

async function prepareS3({ s3, startTimeoutMs, exclusion }: Extract<StoreOptions, { kind: "s3" }>): Promise<void> {
  const modules = [import("./s3-client.js"), import("./s3-store.js"), import("./s3-probe.js")] as const;
  const [{ openS3Client }, { S3Store }, { probeS3, refusePlainPuts }] = await Promise.all(modules);
  const [{ removeStaleUploads }, { arrangeExclusion }] = await Promise.all([
    import("./s3-upload.js"),
    import("./arrange-exclusion.js"),
  ]);
  const client = openS3Client(s3);
  try {
    const { isConditional } = await probeS3(client, s3, startTimeoutMs);
    if (exclusion !== undefined) await arrangeExclusion(new S3Store(client, s3), exclusion, isConditional);
    else if (!isConditional) refusePlainPuts(s3);
    await removeStaleUploads(client, s3, Date.now());
  } finally {
    client.destroy();
  }
}
