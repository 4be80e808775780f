import { Signal, type ISignal } from '@lumino/signaling';

import type {
  IAlert,
  IConnection,
  IElsewhere,
  IJob,
  INews,
  IServer,
  ISession,
  IUsage
} from './messages';

/** Points that a plot keeps of each server. */
const POINTS = 120;
/** Lines that are kept of an installation. */
const LINES = 1000;

/** How the page stands with its Jupyter server. */
export type Contact = 'connecting' | 'live' | 'lost' | 'missing' | 'refused' | 'other-version';

/**
 * What is known. Each change makes a new one, and leaves what did not change the same object.
 */
export interface IKnown {
  readonly contact: Contact;
  /** Whether anything was ever told. */
  readonly told: boolean;
  /** Whether the Jupyter server or the user's settings forbid to change anything. */
  readonly readOnly: boolean;
  /** Of the Python package. */
  readonly version: string;
  /** Milliseconds that the Jupyter server's clock is ahead of this computer's. */
  readonly ahead: number;
  readonly connection: IConnection | null;
  readonly elsewhere: readonly IElsewhere[];
  readonly alerts: readonly IAlert[];
  readonly servers: readonly IServer[];
  readonly sessions: readonly ISession[];
  /** Those that go on first, then those that wait, then those that ended; the newest first. */
  readonly jobs: readonly IJob[];
  /** Of each server, the oldest first. */
  readonly usage: ReadonlyMap<string, readonly IUsage[]>;
  /** What was written while packages were installed, by server. */
  readonly installing: ReadonlyMap<string, readonly string[]>;
}

export const NOTHING: IKnown = {
  contact: 'connecting',
  told: false,
  readOnly: false,
  version: '',
  ahead: 0,
  connection: null,
  elsewhere: [],
  alerts: [],
  servers: [],
  sessions: [],
  jobs: [],
  usage: new Map(),
  installing: new Map()
};

/** Return what is known after some news. */
export function updated(known: IKnown, news: INews, here: number): IKnown {
  return {
    ...known,
    told: true,
    ahead: news.now * 1000 - here,
    connection: news.connection ?? known.connection,
    elsewhere: news.elsewhere ?? known.elsewhere,
    alerts: news.alerts ?? known.alerts,
    servers: news.servers ?? known.servers,
    sessions: news.sessions ?? known.sessions,
    jobs: jobsAfter(known.jobs, news),
    usage: usageAfter(known.usage, news),
    installing: linesAfter(known.installing, news)
  };
}

function jobsAfter(jobs: readonly IJob[], news: INews): readonly IJob[] {
  const gone = news.gone ?? [];
  if (!news.jobs && !gone.length && !news.all_jobs) {
    return jobs;
  }
  const byId = new Map(news.all_jobs ? [] : jobs.map(job => [job.id, job]));
  gone.forEach(id => byId.delete(id));
  news.jobs?.forEach(job => byId.set(job.id, job));
  return [...byId.values()].sort(
    (a, b) => rank(a) - rank(b) || b.submitted - a.submitted || (a.id < b.id ? -1 : 1)
  );
}

function rank(job: IJob): number {
  return job.open ? (job.started ? 0 : 1) : 2;
}

function usageAfter(usage: IKnown['usage'], news: INews): IKnown['usage'] {
  const names = news.servers && new Set(news.servers.map(server => server.name));
  if (!news.usage && !names) {
    return usage;
  }
  const found = new Map([...usage].filter(([name]) => !names || names.has(name)));
  for (const point of news.usage ?? []) {
    const before = found.get(point.server) ?? [];
    if (!before.length || before[before.length - 1].at < point.at) {
      found.set(point.server, [...before, point].slice(-POINTS));
    }
  }
  return found;
}

function linesAfter(installing: IKnown['installing'], news: INews): IKnown['installing'] {
  const more = Object.entries(news.installing ?? {});
  if (!more.length) {
    return installing;
  }
  const found = new Map(installing);
  for (const [name, lines] of more) {
    found.set(name, [...(found.get(name) ?? []), ...lines].slice(-LINES));
  }
  return found;
}

/** Holds what is known, for everything on the page that shows it. */
export class Store {
  get known(): IKnown {
    return this._known;
  }

  get changed(): ISignal<this, IKnown> {
    return this._changed;
  }

  /** Now by the Jupyter server's clock, in seconds. */
  now(): number {
    return (Date.now() + this._known.ahead) / 1000;
  }

  /** For `useSyncExternalStore`. */
  subscribe = (hear: () => void): (() => void) => {
    this._changed.connect(hear);
    return () => void this._changed.disconnect(hear);
  };

  snapshot = (): IKnown => this._known;

  take(news: INews): void {
    this._put(updated(this._known, news, Date.now()));
  }

  note(about: Partial<Pick<IKnown, 'contact' | 'version' | 'ahead'>>): void {
    this._put({ ...this._known, ...about });
  }

  /** Take what the Jupyter server, or the user's settings, say about changing anything. */
  restrict(who: 'server' | 'settings', readOnly: boolean): void {
    this._restricting[readOnly ? 'add' : 'delete'](who);
    this._put({ ...this._known, readOnly: this._restricting.size > 0 });
  }

  /** Forget what an installer wrote before: another installation begins. */
  forgetInstallation(server: string): void {
    const installing = new Map(this._known.installing);
    if (installing.delete(server)) {
      this._put({ ...this._known, installing });
    }
  }

  private _put(known: IKnown): void {
    this._known = known;
    this._changed.emit(known);
  }

  private _restricting = new Set<string>();
  private _known = NOTHING;
  private _changed = new Signal<this, IKnown>(this);
}
