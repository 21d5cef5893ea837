import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dataFolderAt, takeCacheFolder, takeDataFolder } from "../../../src/main/lifecycle/data-folder.js";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { losePower } from "../../../src/shared/disk/power-loss.js";
import { MiniodbError } from "../../../src/shared/errors.js";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "miniodb-folder-"));
});
after(() => rmSync(folder, { recursive: true }));

const moduleUrl = new URL("../../../src/main/lifecycle/data-folder.js", import.meta.url).href;

/** Another process that holds the lock until it is killed; locks of one process do not keep itself out. */
async function holder(call: string): Promise<() => Promise<void>> {
  const script = `import * as folders from ${JSON.stringify(moduleUrl)}; await ${call}; process.stdout.write("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("exit", () => reject(new Error("the holder ended")));
  });
  return () =>
    new Promise((resolve) => {
      child.removeAllListeners("exit");
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
}

function isBusy(named: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof MiniodbError);
    assert.equal(error.code, "SERVER_BUSY");
    assert.match(error.message, named);
    return true;
  };
}

test("the folder of the file cache is one server's, until its process ends", async () => {
  const path = join(folder, "cache");
  const kill = await holder(`folders.takeCacheFolder(${JSON.stringify(path)})`);
  writeFileSync(join(path, "kept"), "x");
  await assert.rejects(takeCacheFolder(path), isBusy(/cache\.folder.*in use by another process/));
  await kill();
  (await takeCacheFolder(path)).release();
});

test("so is the data folder", async () => {
  const path = join(folder, "data");
  const kill = await holder(`folders.takeDataFolder(folders.dataFolderAt(${JSON.stringify(path)}))`);
  await assert.rejects(takeDataFolder(dataFolderAt(path)), isBusy(/data folder.*in use by another process/));
  await kill();
  (await takeDataFolder(dataFolderAt(path))).release();
});

test("a power loss after the start takes no log away with its folder", async () => {
  const root = join(folder, "new", "data");
  const side = join(folder, "side");
  const taken = dataFolderAt(root);
  const lock = await takeDataFolder(taken, new ForgetfulDisk(side));
  lock.release();
  losePower(side, () => 0);
  assert.ok(existsSync(taken.wal) && existsSync(taken.warehouse));
});
