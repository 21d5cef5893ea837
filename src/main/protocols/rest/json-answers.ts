import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import { JsonListener, type JsonObject } from "./json-request.js";
import { sendReply } from "./send-reply.js";
import { okReply, thrownReply, type JsonReply } from "./write-reply.js";

/** From a promise to the reply of a control request: what it resolves to is the body, what it rejects with the error. */
export class JsonAnswers {
  readonly #onInternal: (error: unknown) => void;

  constructor(onInternal: (error: unknown) => void) {
    this.#onInternal = onInternal;
  }

  /** Acts on the JSON object of the request; an empty body is an empty object. */
  withBody(exchange: HttpExchange, act: (body: JsonObject) => Promise<unknown>): RequestListener {
    return new JsonListener(exchange, {
      object: (_, body) => this.#answer(exchange, act(body)),
      error: (_, error) => sendReply(exchange, thrownReply(error, this.#onInternal)),
    });
  }

  /** For requests without a meaningful body: acts once whatever was sent is in. */
  afterBody(exchange: HttpExchange, act: () => Promise<unknown>): RequestListener {
    return {
      onChunk: (_, isLast) => {
        if (isLast) this.#answer(exchange, act());
      },
      onAborted: () => {},
    };
  }

  #answer(exchange: HttpExchange, value: Promise<unknown>): void {
    value
      .then(okReply, (error: unknown): JsonReply => thrownReply(error, this.#onInternal))
      .then((reply) => sendReply(exchange, reply))
      .catch(this.#onInternal);
  }
}
