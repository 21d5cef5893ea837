import type { HttpExchange } from "../../sockets/http-server.js";
import type { JsonReply } from "./write-reply.js";

const jsonHeaders = ["content-type", "application/json"];

/** Sends a JSON reply; false when the client is gone. */
export function sendReply(exchange: HttpExchange, reply: JsonReply): boolean {
  const { status, body, retryAfterSeconds } = reply;
  const headers = retryAfterSeconds === null ? jsonHeaders : [...jsonHeaders, "retry-after", String(retryAfterSeconds)];
  return exchange.reply(status, headers, body);
}
