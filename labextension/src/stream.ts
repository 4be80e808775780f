import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { PROTOCOL, type StreamMessage } from './messages';
import type { Store } from './store';

/** Milliseconds without a word after which a connection counts as lost: the server beats faster. */
const SILENCE = 25_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 20_000;
/** How long a page that nobody sees keeps its stream. */
const UNSEEN = 60_000;

/**
 * The event stream: keeps a store up to date while the page can be seen, whatever happens to the
 * Jupyter server, the network, or this computer's sleep.
 */
export class Stream {
  constructor(
    private readonly store: Store,
    private readonly settings: ServerConnection.ISettings
  ) {
    document.addEventListener('visibilitychange', this._looked);
    window.addEventListener('online', this._atOnce);
    this._watch = setInterval(this._check, 5_000);
    this._connect();
  }

  dispose(): void {
    this._over = true;
    document.removeEventListener('visibilitychange', this._looked);
    window.removeEventListener('online', this._atOnce);
    clearInterval(this._watch);
    clearTimeout(this._later);
    clearTimeout(this._unseen);
    this._leave();
  }

  /** Connect now, whatever was waited for. */
  retry = (): void => {
    this._pause = FIRST_PAUSE;
    this._leave();
    this._connect();
  };

  private _connect = (): void => {
    clearTimeout(this._later);
    if (this._over || this._socket) {
      return;
    }
    const { wsUrl, token, appendToken, WebSocket: Socket } = this.settings;
    const where = URLExt.join(wsUrl, 'rexec/api/events');
    const socket = new Socket(
      appendToken && token ? `${where}?token=${encodeURIComponent(token)}` : where
    );
    this._socket = socket;
    this._heard = Date.now();
    socket.onmessage = event => {
      if (socket === this._socket) {
        this._heard = Date.now();
        this._take(JSON.parse(String(event.data)) as StreamMessage);
      }
    };
    socket.onclose = () => {
      if (socket === this._socket) {
        this._socket = null;
        void this._lost();
      }
    };
  };

  private _take(message: StreamMessage): void {
    switch (message.type) {
      case 'hello':
        this.store.restrict('server', message.read_only);
        this.store.note({
          contact: message.protocol === PROTOCOL ? 'live' : 'other-version',
          version: message.version,
          ahead: message.now * 1000 - Date.now()
        });
        break;
      case 'news':
        this._pause = FIRST_PAUSE; // not after a mere hello: it may fail each time after that
        this.store.take(message);
        break;
      case 'beat':
        this.store.note({ ahead: message.now * 1000 - Date.now() });
        break;
    }
  }

  /** Say that it was lost, and why if that can be found out; try again later. */
  private async _lost(): Promise<void> {
    if (this._over || this._hidden) {
      return;
    }
    const reason = await this._reason();
    if (this._over || this._hidden || this._socket) {
      return; // meanwhile it was given up, or there is another
    }
    // That a page has to be loaded again stays so, whatever comes back.
    if (this.store.known.contact !== 'other-version') {
      this.store.note({ contact: reason });
    }
    clearTimeout(this._later);
    // Many pages do not come back all at once.
    this._later = setTimeout(this._connect, this._pause * (0.75 + Math.random() / 2));
    this._pause = Math.min(2 * this._pause, LONGEST_PAUSE);
  }

  /** A WebSocket does not tell why it was refused; a plain question does. */
  private async _reason(): Promise<'lost' | 'missing' | 'refused'> {
    try {
      const url = URLExt.join(this.settings.baseUrl, 'rexec/api/state');
      const init = { signal: AbortSignal.timeout(5_000) };
      const { status } = await ServerConnection.makeRequest(url, init, this.settings);
      return status === 404 ? 'missing' : status === 401 || status === 403 ? 'refused' : 'lost';
    } catch {
      return 'lost';
    }
  }

  private _check = (): void => {
    // Timers stand still while a computer sleeps; then this is the first to notice.
    if (this._socket && Date.now() - this._heard > SILENCE) {
      this._leave();
      void this._lost();
    }
  };

  private _looked = (): void => {
    clearTimeout(this._unseen);
    if (document.visibilityState === 'hidden') {
      this._unseen = setTimeout(() => {
        this._hidden = true;
        clearTimeout(this._later);
        this._leave();
      }, UNSEEN);
      return;
    }
    this._hidden = false;
    this._check();
    this._atOnce();
  };

  private _atOnce = (): void => {
    if (!this._socket && !this._hidden) {
      this._pause = FIRST_PAUSE;
      this._connect();
    }
  };

  private _leave(): void {
    const socket = this._socket;
    this._socket = null;
    socket?.close();
  }

  private _socket: WebSocket | null = null;
  private _heard = 0;
  private _pause = FIRST_PAUSE;
  private _later: ReturnType<typeof setTimeout> | undefined;
  private _unseen: ReturnType<typeof setTimeout> | undefined;
  private _watch: ReturnType<typeof setInterval>;
  private _hidden = false;
  private _over = false;
}
