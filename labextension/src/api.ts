import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  ICatalogs,
  ICredentials,
  IDone,
  IFound,
  ILog,
  IProblem,
  IProfiles,
  IText,
  IWanted
} from './messages';

/** Milliseconds after which a question counts as not answered. */
const PATIENCE = 30_000;

/** What the Jupyter server refused, or could not do: cause, next step, what would be lost. */
export class ProblemError extends Error implements IProblem {
  readonly hint: string;
  readonly code: string;
  readonly losses: string[];

  constructor(
    problem: IProblem,
    /** Of HTTP; 0 if there was no answer. */
    readonly status: number
  ) {
    super(problem.message);
    this.name = 'ProblemError';
    this.hint = problem.hint;
    this.code = problem.code;
    this.losses = problem.losses;
  }
}

type Query = Record<string, string | number>;

/**
 * The questions that `rexec_jupyter/labapp/messages.py` lists. All fail with `ProblemError`.
 */
export class Api {
  constructor(readonly settings: ServerConnection.ISettings) {}

  use = (url: string): Promise<IDone> => this.post(['connection'], { url });
  login = (credentials: ICredentials): Promise<IDone> => this.post(['login'], credentials);
  logout = (url: string): Promise<IDone> => this.post(['logout'], { url });

  /** Start it with the Python of a kernel spec; without one, that of new notebooks. */
  startEmbedded = (kernel: string): Promise<IDone> => this.post(['embedded', 'start'], { kernel });
  stopEmbedded = (force: boolean): Promise<IDone> => this.post(['embedded', 'stop'], { force });

  profiles = (): Promise<IProfiles> => this.get(['profiles']);
  startServer = (wanted: IWanted): Promise<IDone> => this.post(['servers'], wanted);
  stopServer = (name: string, force: boolean): Promise<IDone> =>
    this.delete(['servers', name], { force });
  restartServer = (name: string, force: boolean): Promise<IDone> =>
    this.post(['servers', name, 'restart'], { force });
  extendServer = (name: string, seconds: number): Promise<IDone> =>
    this.post(['servers', name, 'extend'], { seconds });
  installLog = (name: string, tail: number): Promise<IText> =>
    this.get(['servers', name, 'log'], { tail });

  startSession = (name: string): Promise<IDone> => this.post(['sessions'], { name });
  stopSession = (name: string, force: boolean): Promise<IDone> =>
    this.delete(['sessions', name], { force });
  restartSession = (name: string, force: boolean): Promise<IDone> =>
    this.post(['sessions', name, 'restart'], { force });
  interruptSession = (name: string): Promise<IDone> => this.post(['sessions', name, 'interrupt']);

  interruptJob = (id: string): Promise<IDone> => this.post(['jobs', id, 'interrupt']);
  cancelJob = (id: string): Promise<IDone> => this.post(['jobs', id, 'cancel']);
  /** The last lines of a job's log. */
  lastOfLog = (id: string, tail: number, signal?: AbortSignal): Promise<ILog> =>
    this.get(['jobs', id, 'log'], { tail }, signal);
  /** What came to a job's log after an offset, waited for so many seconds at most. */
  moreOfLog = (id: string, after: number, wait: number, signal?: AbortSignal): Promise<ILog> =>
    this.get(['jobs', id, 'log'], { after, wait }, signal);

  catalogs = (signal?: AbortSignal): Promise<ICatalogs> => this.get(['catalogs'], {}, signal);
  /** Some of the datasets of a catalog, one of those that `catalogs` tells. */
  search = (
    q: string,
    where: ICatalogs['names'][number],
    offset: number,
    limit: number,
    signal?: AbortSignal
  ): Promise<IFound> => this.get(['catalog'], { q, in: where, offset, limit }, signal);

  private get<T>(path: string[], query?: Query, signal?: AbortSignal): Promise<T> {
    return this.ask('GET', path, query, undefined, signal);
  }

  private post<T>(path: string[], body: object = {}): Promise<T> {
    return this.ask('POST', path, undefined, body);
  }

  private delete<T>(path: string[], body: object): Promise<T> {
    return this.ask('DELETE', path, undefined, body);
  }

  private async ask<T>(
    method: string,
    path: string[],
    query: Query = {},
    body?: object,
    signal?: AbortSignal
  ): Promise<T> {
    const where = URLExt.join(this.settings.baseUrl, 'rexec/api', ...path.map(encodeURIComponent));
    const texts = Object.entries(query).map(([key, value]) => [key, String(value)]);
    const given = new URLSearchParams(texts).toString();
    const late = AbortSignal.timeout(PATIENCE);
    const init: RequestInit = {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, late]) : late
    };
    let response: Response;
    try {
      const url = given ? `${where}?${given}` : where;
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      throw new ProblemError(unreachable(late.aborted), 0);
    }
    let told: unknown;
    try {
      told = await response.json();
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      if ((error as Error).name !== 'SyntaxError') {
        throw new ProblemError(unreachable(late.aborted), 0); // it broke off
      }
      told = null; // a page of a proxy, or nothing
    }
    if (!response.ok || told === null) {
      throw new ProblemError(problem(told, response), response.status);
    }
    return told as T;
  }
}

function problem(told: unknown, response: Response): IProblem {
  const found = (told ?? {}) as Partial<IProblem>;
  if (typeof found.message === 'string' && found.message) {
    return {
      message: found.message,
      hint: found.hint ?? '',
      code: found.code ?? '',
      losses: found.losses ?? []
    };
  }
  if (response.status === 404) {
    return {
      message: 'The Jupyter server has no rexec extension, or not this version of it.',
      hint: 'Install rexec-jupyter where JupyterLab runs, and start JupyterLab again.',
      code: '',
      losses: []
    };
  }
  return {
    message: `The Jupyter server answered ${response.status} ${response.statusText}.`,
    hint: response.status === 403 ? 'Load this page again to log in.' : 'Its log tells more.',
    code: '',
    losses: []
  };
}

function unreachable(late: boolean): IProblem {
  return {
    message: late
      ? `The Jupyter server did not answer within ${PATIENCE / 1000} s.`
      : 'The Jupyter server cannot be reached.',
    hint: 'Look whether it runs, and try again.',
    code: '',
    losses: []
  };
}
