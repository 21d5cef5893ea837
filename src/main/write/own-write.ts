import type { SlabAllocator } from "../../shared/ring/slab-allocator.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { frameEncodings, frameFlags, type FrameDurability, type FrameFormat } from "../../shared/ring/frame.js";
import { guardBody } from "../../shared/ring/guarded-body.js";
import type { WritePath } from "./write-path.js";
import type { WriteAccount, WriteBody } from "./write-request.js";

/** A body that is whole already, for `submit`, whose throw leaves a slab to the caller. Throws SERVER_BUSY. */
export function holdBody(slab: SlabAllocator, bytes: Uint8Array): WriteBody {
  if (bytes.length <= limits.inlineBodyBytesMax) return { kind: "chunk", bytes };
  const offset = slab.allocate(bytes.length);
  if (offset < 0) throw new MiniodbError("SERVER_BUSY", "No shared memory is free for this batch");
  slab.bytes.set(bytes, offset);
  return { kind: "slab", offset, length: bytes.length };
}

export interface OwnWriteParts {
  readonly writes: WritePath;
  readonly slab: SlabAllocator;
}

/** A batch that the server itself makes. */
export interface OwnWrite {
  readonly table: string;
  readonly format: FrameFormat;
  readonly flags: number;
  readonly durability: FrameDurability;
  readonly text: string;
  /** Absent: none. */
  readonly batchId?: string;
  /** Where one of its ids was written after this sequence of the table, it is refused with COMMIT_CONFLICT, as a whole. */
  readonly unlessAfter?: number | undefined;
}

/** Resolves with the account, as durable as it says. Rejects as writes fail; then nothing, or nobody knows what, is written. */
export function writeOwn({ writes, slab }: OwnWriteParts, write: OwnWrite): Promise<WriteAccount> {
  const { text, batchId = "", flags, unlessAfter, ...rest } = write;
  return new Promise((resolve, reject) => {
    const isGuarded = unlessAfter !== undefined;
    const body = holdBody(slab, isGuarded ? guardBody(unlessAfter, text) : Buffer.from(text));
    try {
      writes.submit({
        ...rest,
        flags: isGuarded ? flags | frameFlags.unlessNewer : flags,
        batchId,
        encoding: frameEncodings.identity,
        principal: "",
        body,
        done: (outcome) => {
          if (outcome.kind === "failed") reject(outcome.error);
          else resolve(outcome);
        },
      });
    } catch (error) {
      if (body.kind === "slab") slab.free(body.offset);
      throw error;
    }
  });
}
