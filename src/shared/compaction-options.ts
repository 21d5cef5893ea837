/** The rows of compaction in the option table, config-options.ts. */
import { integer, type Machine, type Option } from "./option-types.js";

const kib = 1024;
const mib = 1024 * kib;
const gib = 1024 * mib;
const second = 1000;
const day = 24 * 60 * 60 * second;

const compactionThreadsAuto = {
  help: "one per core, at most 4",
  resolve: (machine: Machine) => Math.max(1, Math.min(4, machine.cores)),
};

export const compactionOptions = {
  "compaction.intervalMs": integer({
    default: 30 * second,
    min: 100,
    max: day,
    help: "Time between two looks for small files to merge.",
  }),
  "compaction.smallFilesMin": integer({
    default: 16,
    min: 2,
    max: 100_000,
    help: "Files of one day below half of compaction.targetBytes that start a merge.",
  }),
  "compaction.targetBytes": integer({
    default: 256 * mib,
    min: kib,
    max: 4 * gib,
    help: "Size of merged files; those of half of it and more are not merged again.",
  }),
  "compaction.inputBytesMax": integer({
    default: gib,
    min: kib,
    max: 64 * gib,
    help: "Most bytes that one merge reads, where a full compaction finds files that overlap.",
  }),
  "compaction.threads": integer({
    default: 0,
    min: 0,
    max: 64,
    auto: compactionThreadsAuto,
    help: "Threads of a merge that was asked for; the server's own merges have one.",
  }),
  "compaction.deletedPercent": integer({
    default: 10,
    min: 1,
    max: 100,
    help: "Share of deleted rows, in percent, from which a file of any size is written anew without them.",
  }),
  "compaction.deletedAgeMs": integer({
    default: day,
    min: 0,
    max: 3650 * day,
    help: "Age of deletes from which their file is written anew without the deleted rows, however few they are.",
  }),
  "compaction.memoryBytes": integer({
    default: 512 * mib,
    min: 64 * mib,
    max: 64 * gib,
    help: "Memory of a merge; above it DuckDB spills.",
  }),
} as const satisfies Record<string, Option>;
