import { readFileSync } from "node:fs";

export interface ProcessSample {
  readonly atMs: number;
  /** User and system time of all threads since the process began. */
  readonly cpuMs: number;
  readonly residentBytes: number;
  /** What the hypervisor gave to others while this machine wanted it, since the machine began; over all processors. */
  readonly stolenMs: number;
}

/** Kernel ticks per second: USER_HZ, 100 on every Linux that Node runs on. */
const tickMs = 10;
const pageBytes = 4096;

/** From /proc (see proc(5)); null where there is none, or the process is gone. */
export function sampleProcess(pid: number): ProcessSample | null {
  try {
    // The second field is the name in parentheses and may hold spaces: fields are counted behind it.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    const machine = readFileSync("/proc/stat", "latin1").split("\n", 1)[0]?.split(/ +/) ?? [];
    return {
      atMs: performance.now(),
      cpuMs: ticks * tickMs,
      residentBytes: Number(fields[21]) * pageBytes,
      stolenMs: Number(machine[8] ?? 0) * tickMs,
    };
  } catch {
    return null;
  }
}
