import { assert } from "../assert.js";
import type { EntryRingConsumer, EntryRingProducer } from "./entry-ring.js";

/**
 * The completion of one request, ingest worker -> main: an entry of 96 bytes, little-endian.
 *
 * ```
 *  0  u32  requestId
 *  4  u8   status       completionStatuses
 *  5  u8   durability   reached, as frameDurabilities
 *  6  u16  flags        completionFlags
 *  8  u32  accepted     rows
 * 12  u32  rejected     rows
 * 16  f64  sequence     last sequence of the request's rows in their table; 0 when it has none
 * 24  u32  tableSlot    main's number of the table, for the sequence token
 * 28  u32  check        requestId ^ completionCheck; 0 once it was read
 * 32  u8   idBytes      length of the id that the original API's reply names; 0: none, or longer than fits here
 * 33       id           ASCII, up to 63 bytes
 * ```
 * Worker and main have two such rings: one that is gated by the WAL thread (replies that promise "on disk"), and an
 * immediate one (durability memory, failures, repeats).
 */
export const completionBytes = 96;

const idBytesMax = 63;

const completionCheck = 0x43_4d_50_31;

export const completionStatuses = {
  /** Decoded: the account says which rows are in. */
  done: 0,
  /** This batch id was there before; the account is the first one's. */
  repeated: 1,
  /** Nothing was accepted; a request-detail message with the error went before. */
  failed: 2,
} as const;

export const completionFlags = {
  /** A request-detail message was sent before this entry: row errors, an error, or a generated id. */
  detail: 1,
} as const;

/** Fields of a completion; both sides keep one and refill it. */
export interface Completion {
  requestId: number;
  status: number;
  durability: number;
  flags: number;
  accepted: number;
  rejected: number;
  sequence: number;
  tableSlot: number;
  /** Empty when the entry carries none. */
  id: string;
}

export function newCompletion(): Completion {
  return {
    requestId: 0,
    status: 0,
    durability: 0,
    flags: 0,
    accepted: 0,
    rejected: 0,
    sequence: 0,
    tableSlot: 0,
    id: "",
  };
}

/** Stages a completion; false when the ring is full. The caller publishes, once per batch. */
export function stageCompletion(ring: EntryRingProducer, completion: Completion): boolean {
  const at = ring.reserve();
  if (at < 0) return false;
  const { view } = ring;
  assert(view.getUint32(at + 28, true) === 0, "a completion's place was read before it is written again");
  view.setUint32(at, completion.requestId, true);
  view.setUint8(at + 4, completion.status);
  view.setUint8(at + 5, completion.durability);
  view.setUint16(at + 6, completion.flags, true);
  view.setUint32(at + 8, completion.accepted, true);
  view.setUint32(at + 12, completion.rejected, true);
  view.setFloat64(at + 16, completion.sequence, true);
  view.setUint32(at + 24, completion.tableSlot, true);
  view.setUint32(at + 28, (completion.requestId ^ completionCheck) >>> 0, true);
  writeId(view, at + 32, completion.id);
  ring.stage();
  return true;
}

/** Whether an id of so many ASCII characters travels in the entry; any other goes with a request-detail message. */
export function fitsCompletion(idBytes: number): boolean {
  return idBytes <= idBytesMax;
}

function writeId(view: DataView, at: number, id: string): void {
  assert(fitsCompletion(id.length), "an id in a completion fits");
  view.setUint8(at, id.length);
  for (let index = 0; index < id.length; index++) {
    const code = id.charCodeAt(index);
    assert(code <= 0x7f, "an id in a completion is ASCII");
    view.setUint8(at + 1 + index, code);
  }
}

function readId(view: DataView, at: number): string {
  const length = view.getUint8(at);
  let id = "";
  for (let index = 0; index < length; index++) id += String.fromCharCode(view.getUint8(at + 1 + index));
  return id;
}

/** Reads the next completion into `into` and steps over it; false when there is none. The caller releases the ring. */
export function takeCompletion(ring: EntryRingConsumer, into: Completion): boolean {
  const at = ring.peek();
  if (at < 0) return false;
  const { view } = ring;
  into.requestId = view.getUint32(at, true);
  const check = view.getUint32(at + 28, true);
  assert(check === (into.requestId ^ completionCheck) >>> 0, "a completion is read once and as it was written");
  into.status = view.getUint8(at + 4);
  into.durability = view.getUint8(at + 5);
  into.flags = view.getUint16(at + 6, true);
  into.accepted = view.getUint32(at + 8, true);
  into.rejected = view.getUint32(at + 12, true);
  into.sequence = view.getFloat64(at + 16, true);
  into.tableSlot = view.getUint32(at + 24, true);
  into.id = readId(view, at + 32);
  view.setUint32(at + 28, 0, true);
  ring.advance();
  return true;
}
