import type { DuckDBDataChunk } from "@duckdb/node-api";
import { writeAscii, writeNull } from "./json-bytes.js";
import type { JsonCells } from "./json-cells.js";
import { writePadded, writeThousandths } from "./json-numbers.js";
import { rfc3339 } from "./json-values.js";
import { columnBytes, isValid, readLongs } from "./result-vectors.js";

const dayMs = 86_400_000;
const secondMicros = 1_000_000;
const bytesMax = 40;
/** `"YYYY-MM-DDTHH:MM:SS` */
const secondBytes = 20;
const colon = 0x3a;
/** `Z"`, low byte first. */
const ending = 0x22_5a;
/** DuckDB's infinity of timestamps; minus infinity is its negative. */
const infiniteMicros = 2n ** 63n - 1n;

/** Microseconds since 1970 as RFC 3339 in UTC. The text up to the second is made once for neighbours that share it. */
export class JsonTimestampCells implements JsonCells {
  readonly #text = new DataView(new ArrayBuffer(secondBytes));
  #day = Number.NaN;
  /** Where the second of the text begins. */
  #secondMicros = Number.NaN;
  #data: Uint8Array = new Uint8Array(0);
  #validity: Uint8Array | null = null;
  #micros = new Float64Array(0);

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    const { data, validity } = columnBytes(chunk, column, 8);
    if (this.#micros.length < rows) this.#micros = new Float64Array(rows);
    readLongs(data, rows, this.#micros);
    this.#data = data;
    this.#validity = validity;
    return bytesMax;
  }

  write(row: number, out: DataView, at: number): number {
    if (!isValid(this.#validity, row)) return writeNull(out, at);
    const micros = this.#micros[row] as number;
    let rest = micros - this.#secondMicros;
    if (!(rest >= 0 && rest < secondMicros)) {
      // Years 1685 to 2255: four digits, and exact.
      if (!Number.isSafeInteger(micros)) return this.#writeFar(row, out, at);
      this.#setSecond(Math.floor(micros / secondMicros));
      rest = micros - this.#secondMicros;
    }
    const text = this.#text;
    for (let index = 0; index < secondBytes; index += 4) out.setInt32(at + index, text.getInt32(index, true), true);
    return writeFraction(rest | 0, out, at + secondBytes);
  }

  #setSecond(second: number): void {
    const text = this.#text;
    const day = Math.floor(second / 86_400);
    if (day !== this.#day) writeAscii(`"${new Date(day * dayMs).toISOString().slice(0, 11)}`, text, 0);
    this.#day = day;
    this.#secondMicros = second * secondMicros;
    const seconds = second - day * 86_400;
    const minutes = (seconds / 60) | 0;
    const hours = (minutes / 60) | 0;
    writePadded(hours, 2, text, 12);
    text.setUint8(14, colon);
    writePadded(minutes - hours * 60, 2, text, 15);
    text.setUint8(17, colon);
    writePadded(seconds - minutes * 60, 2, text, 18);
  }

  #writeFar(row: number, out: DataView, at: number): number {
    const { buffer, byteOffset } = this.#data;
    const micros = new DataView(buffer, byteOffset).getBigInt64(row * 8, true);
    if (micros === infiniteMicros || micros === -infiniteMicros) return writeNull(out, at);
    return writeAscii(rfc3339(micros * 1000n), out, at);
  }
}

/** Three digits, six where they say more, and what a timestamp ends with. */
function writeFraction(micros: number, out: DataView, at: number): number {
  const millis = (micros / 1000) | 0;
  const rest = micros - millis * 1000;
  let end = writeThousandths(millis, out, at);
  if (rest !== 0) end = writePadded(rest, 3, out, end);
  out.setUint16(end, ending, true);
  return end + 2;
}
