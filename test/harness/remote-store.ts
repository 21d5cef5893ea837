/**
 * A store across a network, for tests: the objects lie in a folder, but nobody may read them there; each request takes its
 * time, may fail, and is counted. The server under test gets it by MINIODB_TEST_STORE, the URL of this module, and
 * MINIODB_TEST_REMOTE, a folder of the test:
 *
 * ```
 * control.json    RemoteControl, looked at for each request; without it nothing fails or waits
 * requests.log    one line per request: operation, key
 * ```
 */
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RealDisk } from "../../src/shared/disk/real-disk.js";
import { type Fault, FaultyStore } from "../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../src/shared/store/local-store.js";
import { seededRandom } from "./seeded-random.js";

export interface RemoteControl {
  readonly latencyMs?: number;
  /** Operations that fail, with this probability each; drawn from the seed. */
  readonly failing?: readonly string[];
  readonly share?: number;
  readonly seed?: number;
  /** So often at most with the same key: fewer than the server's tries, so that one of them works. */
  readonly timesMax?: number;
}

export class RemoteStore extends FaultyStore {
  constructor(folder: string, sweepTemporary: boolean, control: RemoteFolder) {
    super(new LocalStore({ root: folder, disk: new RealDisk(), sweepTemporary }), (operation, key) => {
      control.count(operation, key);
      return control.fault(operation, key);
    });
  }

  override get isLocal(): boolean {
    return false;
  }

  /** A network copies the bytes: the object is no link to a file of this machine. */
  override async putFile(key: string, path: string): Promise<void> {
    const sent = `${path}-sent`;
    copyFileSync(path, sent);
    try {
      await super.putFile(key, sent);
      rmSync(path);
    } finally {
      rmSync(sent, { force: true });
    }
  }

  override readableUrl(key: string): string {
    throw new Error(`${key} cannot be read where it lies`);
  }

  override uri(key: string): string {
    return `remote://warehouse/${key}`;
  }
}

/** The folder through which a test and its store speak. */
export class RemoteFolder {
  readonly #folder: string;
  #random = seededRandom(1);
  #seed = 1;
  readonly #failures = new Map<string, number>();

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
  }

  set control(control: RemoteControl) {
    writeFileSync(join(this.#folder, "control.json"), JSON.stringify(control));
  }

  get control(): RemoteControl {
    const path = join(this.#folder, "control.json");
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as RemoteControl) : {};
  }

  /** Requests for data files, by operation, since the last call. */
  takeRequests(): readonly { readonly operation: string; readonly key: string }[] {
    const path = join(this.#folder, "requests.log");
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    writeFileSync(path, "");
    const lines = text.split("\n").filter((line) => line.includes("/data/"));
    return lines.map((line) => {
      const [operation = "", key = ""] = line.split(" ");
      return { operation, key };
    });
  }

  count(operation: string, key: string): void {
    appendFileSync(join(this.#folder, "requests.log"), `${operation} ${key}\n`);
  }

  fault(operation: string, key: string): Fault {
    const { latencyMs, failing = [], share = 1, seed = 1, timesMax = Infinity } = this.control;
    if (seed !== this.#seed) [this.#seed, this.#random] = [seed, seededRandom(seed)];
    const failures = this.#failures.get(key) ?? 0;
    const isFailing = failing.includes(operation) && this.#random.real() < share && failures < timesMax;
    if (isFailing) this.#failures.set(key, failures + 1);
    return { kind: isFailing ? "before" : "none", ...(latencyMs !== undefined && { waitMs: latencyMs }) };
  }
}

/** See StoreModule in src/shared/store/open-store.ts. */
export function openStore(folder: string, sweepTemporary: boolean): RemoteStore {
  const control = process.env["MINIODB_TEST_REMOTE"];
  if (control === undefined) throw new Error("MINIODB_TEST_REMOTE names the folder of the test");
  return new RemoteStore(folder, sweepTemporary, new RemoteFolder(control));
}
