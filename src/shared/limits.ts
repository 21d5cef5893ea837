/**
 * The fixed bounds, in one place: what they bound, in which unit, and why this number. Bounds that an operator may
 * want to move are options in config.ts instead.
 */
export const limits = {
  /** Columns of one table. */
  columnsMax: 2_000,
  /** Row errors listed in one reply; all are counted. */
  rowErrorsMax: 100,
  /** Nesting of a JSON or MessagePack value. */
  valueDepthMax: 64,
  /** One text value. */
  valueBytesMax: 16 * 1024 * 1024,
  /** Idempotency-Key or batch_id. */
  batchIdBytesMax: 255,
  /** An id under the default rule. */
  idBytesMax: 255,
} as const;
