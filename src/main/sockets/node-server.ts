import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { assert } from "../../shared/assert.js";
import type { HttpServer, ServerOptions, ServerStats } from "./http-server.js";
import { NodeExchange } from "./node-exchange.js";
import { NodeWebSockets } from "./node-web-socket.js";
import { clientIdleSeconds, ServerCore } from "./server-core.js";
import { statusLine } from "./status-lines.js";

/** How long `close` waits for clients to answer the close frames of their WebSockets. */
const closeFrameMsMax = 500;

/** The server on node:http and ws: for machines where uWebSockets.js does not load. Rejects when the port is taken. */
export async function openNodeServer(options: ServerOptions): Promise<HttpServer> {
  const core = new ServerCore(options);
  const idleMs = clientIdleSeconds * 1000;
  // Slow bodies are the core's business, so node's own bound on the whole request is off.
  const server = createServer({
    keepAliveTimeout: idleMs,
    headersTimeout: idleMs,
    requestTimeout: 0,
    connectionsCheckingInterval: 2_000,
    noDelay: true,
  });
  server.maxConnections = options.connectionsMax;
  const webSockets = new NodeWebSockets(core, options.webSockets);
  serve(server, core, webSockets);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, resolve);
    });
  } catch (error) {
    core.stop();
    throw error;
  }
  return new NodeServer(server, core, webSockets);
}

function serve(server: Server, core: ServerCore, webSockets: NodeWebSockets): void {
  const counted = new WeakSet<Duplex>();
  /** The unanswered request of each connection. */
  const exchanges = new WeakMap<Duplex, NodeExchange>();
  server.on("connection", (socket: Socket) => {
    // A connection comes by twice when serveWithoutUpgrade puts it back.
    if (counted.has(socket)) return;
    counted.add(socket);
    core.connections++;
    socket.on("close", () => core.connections--);
    // node:http times the head of a request, but not a connection that never sends one.
    socket.setTimeout(clientIdleSeconds * 1000);
  });
  server.on("request", (request, response) => {
    const { socket } = request;
    socket.setTimeout(0);
    const before = exchanges.get(socket);
    if (before !== undefined && !before.hasEnded) {
      // Pipelining: refused as in uWebSockets.js, so that clients see one behaviour.
      socket.destroy();
      return;
    }
    const exchange = new NodeExchange(core, request, response);
    exchanges.set(socket, exchange);
    exchange.run();
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (!webSockets.take(request, socket, head)) serveWithoutUpgrade(server, request, socket, head);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    socket.end(
      `HTTP/1.1 ${statusLine(statusOfParseError(error.code))}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
    );
  });
}

function statusOfParseError(code: string | undefined): number {
  if (code === "HPE_HEADER_OVERFLOW") return 431;
  return code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
}

/**
 * A client may ask for an upgrade that this server does not do (h2c, which Java's HttpClient asks for by default):
 * the request then counts as any other. node:http lets go of the connection once there is an upgrade listener, so
 * the request is put back in front of it without the wish, and the connection is served anew.
 */
function serveWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${request.method ?? "GET"} ${request.url ?? "/"} HTTP/${request.httpVersion}`];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] as string;
    if (/^(upgrade|connection|http2-settings)$/i.test(name)) continue;
    lines.push(`${name}: ${request.rawHeaders[index + 1] as string}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
  server.emit("connection", socket);
}

class NodeServer implements HttpServer {
  readonly implementation = "node";
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  readonly #core: ServerCore;
  readonly #webSockets: NodeWebSockets;
  #closing = false;

  constructor(server: Server, core: ServerCore, webSockets: NodeWebSockets) {
    this.#server = server;
    this.#core = core;
    this.#webSockets = webSockets;
    this.host = core.options.host;
    this.port = (server.address() as AddressInfo).port;
  }

  stats(): ServerStats {
    const { connections, webSockets, pending, requests } = this.#core;
    return { connections, webSockets, pending, requests };
  }

  stopAccepting(): void {
    if (this.#core.draining) return;
    this.#core.draining = true;
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  async close(timeoutMs: number): Promise<boolean> {
    assert(!this.#closing, "a server is closed once");
    this.#closing = true;
    this.stopAccepting();
    const closed = this.#webSockets.closeAll(Math.min(timeoutMs, closeFrameMsMax));
    const isIdle = await this.#core.whenIdle(timeoutMs);
    await closed;
    this.#server.closeAllConnections();
    this.#core.stop();
    return isIdle;
  }
}
