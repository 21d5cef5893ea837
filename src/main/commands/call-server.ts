import { request } from "undici";
import type { Config } from "../../shared/config.js";
import { errorCodes, MiniodbError, type ErrorCode } from "../../shared/errors.js";

export interface ServerCall {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: object;
}

/** Where the server of this configuration listens; `url` where the command line says so. Without a slash at its end. */
export function serverUrl({ http }: Pick<Config, "http">, url: string | undefined): string {
  if (url !== undefined) return url.replace(/\/+$/, "");
  const host = http.host === "0.0.0.0" || http.host === "::" ? "127.0.0.1" : http.host;
  return `http://${host.includes(":") ? `[${host}]` : host}:${http.port}`;
}

/** The reply's object, however long it takes. Throws the server's error; STORE_UNAVAILABLE where the connection broke. */
export async function callServer(url: string, call: ServerCall): Promise<Readonly<Record<string, unknown>>> {
  const { method, path, body } = call;
  let status: number;
  let answer: Readonly<Record<string, unknown>>;
  try {
    const reply = await request(url + path, {
      method,
      headersTimeout: 0,
      bodyTimeout: 0,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    status = reply.statusCode;
    answer = (await reply.body.json()) as Readonly<Record<string, unknown>>;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `The server at ${url} gave no answer: ${reason}`, {}, error);
  }
  if (status === 200) return answer;
  const { code, message, error } = answer;
  const known = typeof code === "string" && Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "INTERNAL";
  throw new MiniodbError(known, typeof message === "string" ? message : String(error));
}
