/** What a user types: `npm start`, twice on the same data, and a mistyped flag. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { HttpClient } from "../harness/http-client.js";
import { repositoryRoot } from "../harness/repository-root.js";

interface Started {
  readonly child: ChildProcess;
  /** All of its output, until now. */
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

/** In a process group of its own, so that npm and what it started end together. */
function npmStart(flags: readonly string[]): Started {
  const child = spawn("npm", ["start", "--", ...flags], { cwd: repositoryRoot, detached: true });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, output: () => text, ended };
}

async function waitForUrl({ output, ended }: Started): Promise<string> {
  let hasEnded = false;
  void ended.then(() => (hasEnded = true));
  for (;;) {
    const url = /"url":"(http:[^"]+)".*"msg":"listening"/.exec(output())?.[1];
    if (url !== undefined) return url;
    assert.ok(!hasEnded, output());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function signalGroup({ child }: Started, signal: NodeJS.Signals): void {
  assert.ok(child.pid !== undefined);
  process.kill(-child.pid, signal);
}

describe("npm start", () => {
  let folder: string;
  let flags: readonly string[];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "miniodb-start-"));
    flags = ["--data-folder", folder, "--http-port", "0", "--log-format", "json"];
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test("runs the server; what was written is there after SIGTERM and another start", async () => {
    const first = npmStart(flags);
    try {
      const client = new HttpClient(await waitForUrl(first));
      assert.match(first.output(), /setup: /, "it says what it does");
      await client.write("started", [{ number: 1 }, { number: 2 }]);
    } finally {
      signalGroup(first, "SIGTERM");
    }
    await first.ended;
    assert.match(first.output(), /"msg":"stopped"/);

    const second = npmStart(flags);
    try {
      const client = new HttpClient(await waitForUrl(second));
      assert.match(second.output(), /setup: dependencies and build are up to date/);
      assert.deepEqual(await client.query("select number from started order by number"), [
        { number: 1 },
        { number: 2 },
      ]);
    } finally {
      signalGroup(second, "SIGTERM");
    }
    await second.ended;
  });

  test("a mistyped flag is named, with the one that was meant", async () => {
    const started = npmStart([...flags, "--http-prt", "1"]);
    assert.notEqual(await started.ended, 0);
    assert.match(started.output(), /--http-prt is not an option; did you mean --http-port\?/);
  });
});
