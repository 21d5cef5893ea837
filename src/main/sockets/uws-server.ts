import { createRequire } from "node:module";
import type * as uwsTypes from "uWebSockets.js";
import type { TemplatedApp, us_listen_socket } from "uWebSockets.js";
import { assert } from "../../shared/assert.js";
import type { HttpServer, ServerOptions, ServerStats } from "./http-server.js";
import { ServerCore } from "./server-core.js";
import { UwsExchange } from "./uws-exchange.js";
import { addUwsWebSocket, type UwsWebSocket } from "./uws-web-socket.js";

type UwsModule = typeof uwsTypes;

/** `listen` with host, port and options, which the addon takes and its types leave out. */
interface ExclusiveListener {
  listen(host: string, port: number, options: number, done: (socket: us_listen_socket | false) => void): void;
}

/** The constant of uSockets; without it SO_REUSEPORT lets a second server take the same port in silence. */
interface ExclusivePort {
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

/**
 * Loads the addon. Throws where it has no binary for this platform and Node, or the binary does not load (on Linux
 * with an older glibc, for instance).
 */
export function loadUws(): UwsModule & ExclusivePort {
  return createRequire(import.meta.url)("uWebSockets.js") as UwsModule & ExclusivePort;
}

/** The server on uWebSockets.js. Rejects when the port is taken. */
export async function openUwsServer(uws: UwsModule & ExclusivePort, options: ServerOptions): Promise<HttpServer> {
  const app = uws.App();
  const core = new ServerCore(options);
  const webSockets = new Set<UwsWebSocket>();
  app.filter((response, change) => {
    // Called for each connection that opens (1), and that closes (-1) without having become a WebSocket.
    core.connections += Number(change);
    if (change === 1 && core.connections > options.connectionsMax) response.close();
  });
  for (const [path, route] of Object.entries(options.webSockets)) {
    addUwsWebSocket({ app, core, webSockets, path, route });
  }
  app.any("/*", (response, request) => new UwsExchange(core, response, request).run());
  const { socket, port } = await listen(uws, app, options).catch((error: unknown) => {
    core.stop();
    throw error;
  });
  return new UwsServer({ uws, app, core, webSockets, socket, port });
}

function listen(
  uws: UwsModule & ExclusivePort,
  app: TemplatedApp,
  { host, port }: ServerOptions,
): Promise<{ readonly socket: us_listen_socket; readonly port: number }> {
  return new Promise((resolve, reject) => {
    (app as unknown as ExclusiveListener).listen(host, port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
      if (socket !== false) {
        resolve({ socket, port: uws.us_socket_local_port(socket) });
        return;
      }
      const why = "the port is taken, or the address is not of this machine";
      reject(new Error(`cannot listen on ${host}:${port}: ${why}`));
    });
  });
}

interface UwsServerParts {
  readonly uws: UwsModule;
  readonly app: TemplatedApp;
  readonly core: ServerCore;
  readonly webSockets: Set<UwsWebSocket>;
  readonly socket: us_listen_socket;
  readonly port: number;
}

class UwsServer implements HttpServer {
  readonly implementation = "uws";
  readonly host: string;
  readonly port: number;
  readonly #parts: UwsServerParts;
  #socket: us_listen_socket | null;
  #closing = false;

  constructor(parts: UwsServerParts) {
    this.#parts = parts;
    this.host = parts.core.options.host;
    this.port = parts.port;
    this.#socket = parts.socket;
  }

  stats(): ServerStats {
    const { connections, webSockets, pending, requests } = this.#parts.core;
    return { connections, webSockets, pending, requests };
  }

  stopAccepting(): void {
    this.#parts.core.draining = true;
    if (this.#socket !== null) this.#parts.uws.us_listen_socket_close(this.#socket);
    this.#socket = null;
  }

  async close(timeoutMs: number): Promise<boolean> {
    assert(!this.#closing, "a server is closed once");
    this.#closing = true;
    const { app, core, webSockets } = this.#parts;
    this.stopAccepting();
    for (const webSocket of webSockets) webSocket.close(1001, "the server is shutting down");
    const isIdle = await core.whenIdle(timeoutMs);
    app.close();
    core.stop();
    return isIdle;
  }
}
