import type { RowError } from "../../shared/columns/row-account.js";
import type { MiniodbError } from "../../shared/errors.js";
import type { FrameDurability, FrameEncoding, FrameFormat } from "../../shared/ring/frame.js";

/** What every protocol hands to the write path: one batch for one table. */
export interface WriteRequest {
  /** Empty where only the body names the table. */
  readonly table: string;
  readonly format: FrameFormat;
  readonly encoding: FrameEncoding;
  readonly durability: FrameDurability;
  /** frameFlags. */
  readonly flags: number;
  /** Empty: no batch id. */
  readonly batchId: string;
  readonly principal: string;
  /** Copied before `submit` returns, or a slab region that the write path frees after the outcome. */
  readonly body: WriteBody;
  /** Called exactly once, unless `submit` throws. */
  readonly done: (outcome: WriteOutcome) => void;
}

export type WriteBody =
  | { readonly kind: "chunk"; readonly bytes: Uint8Array }
  | { readonly kind: "slab"; readonly offset: number; readonly length: number };

export const durabilityNames = ["memory", "fsync", "stored"] as const;
export type DurabilityName = (typeof durabilityNames)[number];

/** The full account of a batch, or why nothing of it was accepted. */
export type WriteOutcome = WriteAccount | { readonly kind: "failed"; readonly error: MiniodbError };

export interface WriteAccount {
  readonly kind: "account";
  readonly table: string;
  readonly accepted: number;
  readonly rejected: number;
  /** The first of the rejected rows. */
  readonly errors: readonly RowError[];
  /** What holds for every accepted row when the outcome is reported. */
  readonly durability: DurabilityName;
  /** Token for min_sequence; empty when nothing was accepted. */
  readonly sequence: string;
  /** The batch id was there before; this is the account that it got then. */
  readonly isRepeat: boolean;
  /** The row's id, for requests in the original one-row shape. */
  readonly id: string | null;
  /** Of a request with frameFlags.readsIds: the ids of its accepted rows. */
  readonly ids: readonly string[] | null;
  /** Of a batch of deletes: rows that are gone; null where that was not looked at. Absent: it was no such batch. */
  readonly deletedRows?: number | null;
}
