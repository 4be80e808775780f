/** What the tests use of it. */
declare module 'ws' {
  import type { EventEmitter } from 'events';
  import type { IncomingMessage } from 'http';
  import type { Duplex } from 'stream';

  export class WebSocket extends EventEmitter {
    constructor(address: string, protocols?: string | string[]);
    send(text: string): void;
    close(): void;
  }

  export class WebSocketServer {
    constructor(options: { noServer: true });
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      then: (socket: WebSocket) => void
    ): void;
  }
}
