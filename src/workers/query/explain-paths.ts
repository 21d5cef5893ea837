/**
 * DuckDB's plan with the names of its files instead of their paths: where the server's folders lie is nobody's business,
 * as in its errors. The paths stand in a box, broken into lines wherever they meet its width, so that no search for a
 * folder finds them; boxes stand side by side:
 *
 * ```
 * │        Filename(s):       ││        Filename(s):       │        │        Filename(s):       ││        Filename(s):       │
 * │ /var/lib/miniodb/hot/t-01 ││  /var/lib/miniodb/hot/u-0 │   ─▶   │  t-01.parquet, t-02.parqu ││        u-01.parquet       │
 * │ .parquet, /var/lib/miniodb││         1.parquet         │        │             et            ││                           │
 * │      /hot/t-02.parquet    ││                           │        │                           ││                           │
 * ```
 * A box ends its list with an empty line.
 */
export function withFileNames(plan: string): string {
  if (!plan.includes(title)) return plan;
  const lines = plan.split("\n").map((line) => Array.from(line));
  for (const [index, line] of lines.entries()) {
    for (const place of placesOf(line)) renameBelow(lines.slice(index + 1), place);
  }
  return lines.map((line) => line.join("")).join("\n");
}

const title = "Filename(s):";
const border = "│";

/** Characters between the borders of a box: [start, end). */
interface BoxPlace {
  readonly start: number;
  readonly end: number;
}

function placesOf(line: readonly string[]): BoxPlace[] {
  const places: BoxPlace[] = [];
  for (let start = 0, end = line.indexOf(border); end !== -1; start = end + 1, end = line.indexOf(border, start)) {
    if (textAt(line, { start, end }) === title) places.push({ start, end });
  }
  return places;
}

/** Names are never longer than their paths, so that they fit into the same lines. */
function renameBelow(lines: readonly string[][], place: BoxPlace): void {
  const length = lines.findIndex((line) => textAt(line, place) === "");
  const list = lines.slice(0, length === -1 ? lines.length : length);
  const paths = list.map((line) => textAt(line, place)).join("");
  const names = paths.split(",").map((path) => path.slice(path.lastIndexOf("/") + 1).trim());
  const rest = Array.from(names.join(", "));
  const width = place.end - place.start;
  for (const line of list) {
    const text = rest.splice(0, width - 2);
    const before = Math.floor((width - text.length) / 2);
    const after = width - text.length - before;
    line.splice(place.start, width, ...spaces(before), ...text, ...spaces(after));
  }
}

function textAt(line: readonly string[], { start, end }: BoxPlace): string {
  return line.slice(start, end).join("").trim();
}

function spaces(count: number): string[] {
  return Array.from({ length: count }, () => " ");
}
