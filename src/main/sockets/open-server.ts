import type { HttpServer, ServerOptions } from "./http-server.js";
import { loadUws, openUwsServer } from "./uws-server.js";

/** `auto` takes uWebSockets.js where it loads. */
export type SocketsChoice = "auto" | "uws" | "node";

export interface OpenedServer {
  readonly server: HttpServer;
  /** Why uWebSockets.js was not taken although it was wanted: for the log at start. Null when it was, or was not. */
  readonly fallbackReason: string | null;
}

/**
 * Opens the HTTP and WebSocket server. Rejects when the address cannot be bound, and for "uws" also when the addon
 * does not load.
 */
export async function openServer(options: ServerOptions, choice: SocketsChoice = "auto"): Promise<OpenedServer> {
  if (choice === "node") return { server: await openOnNode(options), fallbackReason: null };
  let uws;
  try {
    uws = loadUws();
  } catch (error) {
    if (choice === "uws") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return { server: await openOnNode(options), fallbackReason: reason.replace(/\s+/g, " ") };
  }
  return { server: await openUwsServer(uws, options), fallbackReason: null };
}

/** Its WebSockets are a package's, which the other server does without. */
async function openOnNode(options: ServerOptions): Promise<HttpServer> {
  const { openNodeServer } = await import("./node-server.js");
  return openNodeServer(options);
}
