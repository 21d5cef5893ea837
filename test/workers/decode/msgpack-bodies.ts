import { Packr } from "msgpackr";
import { decodeMsgpackColumns } from "../../../src/workers/decode/decode-msgpack-columns.js";
import { decodeAll, newTarget, type TargetOptions } from "./bulk-harness.js";

/** MessagePack as other clients write it, without msgpackr's record extension. */
export const packr = new Packr({ useRecords: false, mapsAsObjects: true });

export function columnsBody(columns: Record<string, readonly unknown[]>, extra: object = {}): Uint8Array {
  return packr.pack({ ...extra, columns });
}

export function decodeColumns(columns: Record<string, readonly unknown[]>, options: TargetOptions = {}) {
  const target = newTarget(options);
  decodeAll(decodeMsgpackColumns, columnsBody(columns), target);
  return target;
}

/** A body of one column whose values are given as hexadecimal MessagePack. */
export function rawColumn(values: readonly string[], name = "x"): Uint8Array {
  const header = `81a7${hexText("columns")}81${(0xa0 + name.length).toString(16)}${hexText(name)}dd`;
  const count = values.length.toString(16).padStart(8, "0");
  return Buffer.from(header + count + values.join(""), "hex");
}

export function hexText(text: string): string {
  return Buffer.from(text).toString("hex");
}
