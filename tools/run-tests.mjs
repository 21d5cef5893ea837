// Runs test files in the order given, with node:test's spec reporter: `node --test` itself sorts them by name, and a long file
// that comes last leaves the other processors idle. Each file is a process of its own, with the flags of this one.
//
//   node [flags] tools/run-tests.mjs <files at once> <timeout of a test, ms> <file>...
import { run } from "node:test";
import { spec } from "node:test/reporters";

const [filesAtOnce, timeoutMs, ...files] = process.argv.slice(2);
const events = run({ files, concurrency: Number(filesAtOnce), timeout: Number(timeoutMs) });
events.on("test:fail", () => {
  process.exitCode = 1;
});
events.compose(new spec()).pipe(process.stdout);
