import { rowErrorCodes, type RowErrorCode } from "../../shared/columns/row-account.js";

/** Ends the reading of one nested value, however deep it is; whoever began it catches this and rejects the row. */
export class RowFailure extends Error {
  readonly code: RowErrorCode;

  constructor(code: RowErrorCode, message: string = rowErrorCodes[code]) {
    super(message);
    this.code = code;
  }
}
