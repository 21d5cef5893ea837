import { rowErrorCodes, type RowErrorCode } from "../../shared/columns/row-account.js";

/** Ends the reading of one nested value, however deep it is; whoever began it catches this and rejects the row. */
export class RowFailure extends Error {
  readonly code: RowErrorCode;

  constructor(code: RowErrorCode, message: string = rowErrorCodes[code]) {
    super(message);
    this.code = code;
  }
}

const nameCharsMax = 100;

/** A name out of a body, which may be as long as the body, fit for a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length <= nameCharsMax ? name : `${name.slice(0, nameCharsMax)}...`);
}
