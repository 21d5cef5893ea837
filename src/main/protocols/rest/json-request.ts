import { MiniodbError } from "../../../shared/errors.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";

/** Bodies of control requests and queries; rows never come this way. */
const jsonBytesMax = 1024 * 1024;
const textDecoder = new TextDecoder("utf-8", { fatal: true });

export type JsonObject = Readonly<Record<string, unknown>>;

/** Collects a small JSON object and passes it on; an empty body is an empty object. */
export class JsonListener implements RequestListener {
  readonly #exchange: HttpExchange;
  readonly #onObject: (exchange: HttpExchange, body: JsonObject) => void;
  readonly #onError: (exchange: HttpExchange, error: unknown) => void;
  readonly #onAborted: () => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(
    exchange: HttpExchange,
    on: {
      readonly object: (exchange: HttpExchange, body: JsonObject) => void;
      readonly error: (exchange: HttpExchange, error: unknown) => void;
      readonly aborted?: () => void;
    },
  ) {
    this.#exchange = exchange;
    this.#onObject = on.object;
    this.#onError = on.error;
    this.#onAborted = on.aborted ?? (() => {});
  }

  onChunk(chunk: Uint8Array, isLast: boolean): void {
    this.#bytes += chunk.length;
    if (this.#bytes > jsonBytesMax) {
      this.#chunks.length = 0;
      this.#onError(this.#exchange, new MiniodbError("BODY_TOO_LARGE", `This body has at most ${jsonBytesMax} bytes`));
      return;
    }
    this.#chunks.push(Buffer.from(chunk));
    if (!isLast) return;
    try {
      this.#onObject(this.#exchange, parseObject(Buffer.concat(this.#chunks)));
    } catch (error) {
      this.#onError(this.#exchange, error);
    }
  }

  onAborted(): void {
    this.#onAborted();
  }
}

function parseObject(bytes: Uint8Array): JsonObject {
  if (bytes.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(textDecoder.decode(bytes));
  } catch (error) {
    throw new MiniodbError("INVALID_BODY", `The body is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MiniodbError("INVALID_BODY", "The body must be a JSON object");
  }
  return value as JsonObject;
}

/** A required text field; throws INVALID_REQUEST. */
export function requiredText(body: JsonObject, field: string): string {
  const value = body[field];
  if (typeof value === "string" && value !== "") return value;
  throw new MiniodbError("INVALID_REQUEST", `${field} is required and must be a text`, { field });
}

export function optionalText(body: JsonObject, field: string): string | undefined {
  const value = body[field] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw new MiniodbError("INVALID_REQUEST", `${field} must be a text`, { field });
}

/** A whole number that is not negative; throws INVALID_REQUEST for anything else but absence. */
export function optionalCount(body: JsonObject, field: string): number | undefined {
  const value = body[field] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MiniodbError("INVALID_REQUEST", `${field} must be a whole number`, { field });
}

export function optionalFlag(body: JsonObject, field: string): boolean | undefined {
  const value = body[field] ?? undefined;
  if (value === undefined || typeof value === "boolean") return value;
  throw new MiniodbError("INVALID_REQUEST", `${field} must be true or false`, { field });
}
