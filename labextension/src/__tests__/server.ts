/// <reference types="node" />
import { createServer, type IncomingMessage, type ServerResponse } from 'http';
import type { AddressInfo, Socket } from 'net';

import { ServerConnection } from '@jupyterlab/services';
import { WebSocket as NodeSocket, WebSocketServer } from 'ws';

/** As in a browser, where nobody has to hear of errors. */
class Client extends NodeSocket {
  constructor(address: string, protocols?: string | string[]) {
    super(address, protocols);
    this.on('error', () => undefined);
  }
}

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A Jupyter server of a test's own: a real one for HTTP and WebSockets, on a port of its own. */
export class TestServer {
  /** All that was asked: method, address below the base, and body. */
  readonly asked: [method: string, path: string, body: string][] = [];
  /** Those who follow the events now. */
  readonly followers: NodeSocket[] = [];
  /** How often somebody began to follow. */
  followed = 0;
  /** How questions are answered. */
  answer: Answer = (_, response) => response.end('{}');
  /** What each follower is told first; with null it is refused with 404. */
  greeting: object[] | null = [];

  constructor(readonly base = '/user/x/') {
    this._server.on('request', (request, response) => {
      let body = '';
      request.on('data', part => (body += String(part)));
      request.on('end', () => {
        // JupyterLab adds the time, so that nothing is answered from a cache.
        const path = String(request.url)
          .replace(this.base, '')
          .replace(/[?&]\d{13}$/, '');
        this.asked.push([String(request.method), path, body]);
        this.answer(request, response, body);
      });
    });
    this._server.on('connection', socket => {
      this._open.add(socket);
      socket.on('close', () => this._open.delete(socket));
    });
    this._server.on('upgrade', (request, socket, head) => {
      this.followed += 1;
      if (!this.greeting) {
        socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
        return;
      }
      this._sockets.handleUpgrade(request, socket, head, follower => {
        this.followers.push(follower);
        follower.on('close', () => this.followers.splice(this.followers.indexOf(follower), 1));
        this.greeting?.forEach(message => follower.send(JSON.stringify(message)));
      });
    });
  }

  async start(port = 0): Promise<number> {
    await new Promise<void>(resolve => this._server.listen(port, '127.0.0.1', resolve));
    return (this._server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this._server.close(resolve));
    this._open.forEach(socket => socket.destroy());
    await closed;
  }

  get settings(): ServerConnection.ISettings {
    const { port } = this._server.address() as AddressInfo;
    return ServerConnection.makeSettings({
      baseUrl: `http://127.0.0.1:${port}${this.base}`,
      wsUrl: `ws://127.0.0.1:${port}${this.base}`,
      token: 'a/token',
      appendToken: true,
      WebSocket: Client as unknown as typeof WebSocket
    });
  }

  private _server = createServer();
  private _sockets = new WebSocketServer({ noServer: true });
  private _open = new Set<Socket>();
}

/** Answer with JSON. */
export function json(response: ServerResponse | null, told: unknown, status = 200): void {
  if (!response) {
    throw new Error('Nobody asked.');
  }
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(told));
}

/** A server that runs while the tests of a file do. */
export function running(): TestServer {
  const server = new TestServer();
  beforeAll(() => server.start());
  afterAll(() => server.stop());
  return server;
}
