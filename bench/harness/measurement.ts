/** One line of the table: what was measured, against what, and whether that is enough. */
export interface Measurement {
  readonly measure: string;
  /** The target, in words. */
  readonly target: string;
  readonly reached: string;
  /** What the same run's reference reached; empty where the target is absolute. */
  readonly reference: string;
  /** `info` where there is no target. */
  readonly verdict: "met" | "missed" | "info" | "failed";
  readonly note: string;
}

export function verdict(isMet: boolean): "met" | "missed" {
  return isMet ? "met" : "missed";
}

/** 1234567 to `1.23 M`, 12345 to `12,345`. */
export function formatCount(value: number): string {
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(2)} M`;
  return Math.round(value).toLocaleString("en");
}

export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(bytes < 10_000_000 ? 1 : 0)} MB`;
}

export function formatMicros(micros: number): string {
  return `${(micros / 1000).toFixed(micros < 10_000 ? 2 : 1)} ms`;
}

export function formatPercent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Of an odd number of values the one in the middle, of an even number the higher of the two: never kinder than it was. */
export function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

export function toMarkdown(measurements: readonly Measurement[]): string {
  const head = ["measure", "must reach", "reached", "reference", "verdict", "note"];
  const rows = measurements.map((row) => [
    row.measure,
    row.target,
    row.reached,
    row.reference,
    row.verdict === "missed" || row.verdict === "failed" ? `**${row.verdict}**` : row.verdict,
    row.note,
  ]);
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
