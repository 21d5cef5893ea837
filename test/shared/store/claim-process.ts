/** A thread of local-store.test.ts: claims names, and says which it won. */
import { parentPort, workerData } from "node:worker_threads";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { bytesOf } from "./store-conformance.js";

const { root, names, worker, workers, started } = workerData as {
  readonly root: string;
  readonly names: number;
  readonly worker: number;
  /** Of all threads, and how many of them are ready. */
  readonly workers: number;
  readonly started: SharedArrayBuffer;
};
const store = new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false });
const won: string[] = [];
// They begin together, however long each took to start.
const ready = new Int32Array(started);
Atomics.add(ready, 0, 1);
Atomics.notify(ready, 0);
for (let count = Atomics.load(ready, 0); count < workers; count = Atomics.load(ready, 0)) Atomics.wait(ready, 0, count);
for (let name = 0; name < names; name++) {
  // Each thread begins elsewhere, so that all of them win some.
  const key = `claims/${(name + worker * 7) % names}`;
  if (await store.putIfAbsent(key, bytesOf(`worker ${worker}`))) won.push(key);
}
parentPort?.postMessage(won);
