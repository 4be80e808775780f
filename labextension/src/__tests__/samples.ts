import { act } from '@testing-library/react';

import type { IAlert, IConnection, INews, IServer, ISession } from '../messages';
import type { TestPanel } from './panel';

/** A name that would be markup, and is written from right to left. */
export const HOSTILE = '<img src=x onerror="window.harmed=1"> ניתוח';

export function connection(about: Partial<IConnection> = {}): IConnection {
  return {
    ...{ backend: 'endpoint', url: 'https://e.test', state: 'connected', text: '', hint: '' },
    ...{ code: '', user: 'ada', logins: ['https://e.test'], kept: false, programs: 0, pages: {} },
    ...about
  };
}

export function server(about: Partial<IServer> = {}): IServer {
  return {
    ...{ name: 'train', state: 'ready', phase: 'is ready', profile: 'small', python: '3.11' },
    ...{ cpu: 2, memory: 4 * 2 ** 30, gpu: 0, slots: 4, running: 0, queued: 0, ends: 0 },
    ...{ requirements: [], facts: {}, can: ['stop', 'restart', 'extend', 'install-log'] },
    ...about
  };
}

export function session(about: Partial<ISession> = {}): ISession {
  return {
    ...{ name: 'main', state: 'idle', running: '', queued: 0, started: 1, idle_since: 0 },
    ...{ server: 'train' },
    ...about
  };
}

export function alert(about: Partial<IAlert> = {}): IAlert {
  return {
    ...{ key: 'k', severity: 'error', cause: 'It broke.', hint: 'Mend it.', code: 'R01' },
    ...{ action: '', subject: '' },
    ...about
  };
}

/** Tell a panel what is so. */
export function tell(panel: TestPanel, news: Partial<INews>): void {
  act(() => panel.store.take({ type: 'news', now: Date.now() / 1000, ...news }));
}

/** What is announced with an element: the texts that describe it. */
export function describing(element: Element): (string | undefined)[] {
  const ids = element.getAttribute('aria-describedby')?.split(' ') ?? [];
  return ids.map(id => document.getElementById(id)?.textContent ?? undefined);
}

/** What buttons are called. */
export function called(buttons: readonly Element[]): string[] {
  return buttons.map(each => each.getAttribute('aria-label') ?? each.textContent ?? '');
}
