// Completes package-lock.json: `npm ci` refuses a lock that lacks an optional dependency, and npm leaves out packages for
// other platforms when the registry at hand (a mirror, say) does not have them yet. Their version stands in the package that wants
// them, their platform in their name. Run it after `npm install <package>`; the tidy test says when it is needed.
//
//   node tools/complete-lock.mjs            writes
//   node tools/complete-lock.mjs --check    fails when an entry is missing
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./run-command.mjs";

const path = join(root, "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8"));

/** From a name like `@oxfmt/binding-linux-arm64-musl`; null when it names no platform. */
function platformOf(name) {
  const words = (name.split("/").at(-1) ?? "").split("-");
  const os = ["aix", "android", "darwin", "freebsd", "linux", "openharmony", "win32"].find((word) =>
    words.includes(word),
  );
  const cpu = ["arm64", "arm", "ia32", "loong64", "ppc64", "riscv64", "s390x", "wasm32", "x64"].find((word) =>
    words.includes(word),
  );
  if (cpu === undefined || (os === undefined && cpu !== "wasm32")) return null;
  const isMusl = words.some((word) => word.startsWith("musl"));
  const libc = isMusl ? "musl" : words.some((word) => word.startsWith("gnu")) ? "glibc" : null;
  return {
    cpu: [cpu],
    ...(libc === null ? {} : { libc: [libc] }),
    optional: true,
    ...(os === undefined ? {} : { os: [os] }),
  };
}

/** Where Node would look for `name` from `folder`: nested folders first, then the root. */
function isLocked(folder, name) {
  for (let at = folder; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    if (lock.packages[at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`] !== undefined) return true;
    if (at === "") return false;
  }
}

const missing = [];
for (const [folder, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const platform = platformOf(name);
    if (isLocked(folder, name)) continue;
    if (platform === null) throw new Error(`${folder} wants ${name}, which is not in the lock and names no platform`);
    missing.push([`node_modules/${name}`, { version, ...(entry.dev === true ? { dev: true } : {}), ...platform }]);
  }
}

if (missing.length === 0) {
  process.stdout.write("lock: package-lock.json is complete\n");
} else if (process.argv.includes("--check")) {
  process.stderr.write(`lock: ${missing.length} packages are missing: run node tools/complete-lock.mjs\n`);
  process.exitCode = 1;
} else {
  const { "": project, ...packages } = lock.packages;
  const sorted = Object.entries(packages)
    .concat(missing)
    .toSorted(([left], [right]) => left.localeCompare(right, "en"));
  lock.packages = { "": project, ...Object.fromEntries(sorted) };
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`lock: ${missing.length} packages for other platforms added\n`);
}
