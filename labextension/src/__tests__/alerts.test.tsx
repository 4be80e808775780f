/** @jest-environment-options {"customExportConditions": ["node"]} */
import { fireEvent, render, screen, waitFor } from '@testing-library/react';
import React from 'react';

import { Alerts } from '../sections/alerts';
import type { IAlert } from '../messages';
import { TestPanel } from './panel';
import { HOSTILE, alert, connection, server, session, tell } from './samples';
import { running } from './server';

const jupyter = running();
let panel: TestPanel;
let led: unknown[];

beforeEach(() => {
  jupyter.asked.length = 0;
  panel = new TestPanel(jupyter.settings.baseUrl);
  led = [];
  panel.reveal.connect((_, place) => void led.push(place));
});

function shown(about: Partial<IAlert>, news = {}): void {
  render(panel.with(<Alerts />));
  tell(panel, {
    connection: connection(),
    servers: [server({ name: 'train' })],
    sessions: [session({ name: 'main' })],
    alerts: [alert(about)],
    ...news
  });
}

it('tells cause, hint, code and how bad it is', () => {
  shown({ severity: 'warning' });
  const item = screen.getByRole('listitem');
  expect(item.textContent).toContain('Warning: It broke.');
  expect(item.textContent).toContain('Mend it.');
  expect(item.textContent).toContain('R01');
});

it.each<[Partial<IAlert>, string, object]>([
  [
    { action: 'login', subject: 'https://e.test' },
    'Log in to https://e.test',
    {
      section: 'connection',
      subject: 'https://e.test'
    }
  ],
  [{ action: 'login' }, 'Log in', { section: 'connection', subject: 'login' }],
  [
    { action: 'log', subject: '0123456789' },
    'Show the log of job 01234567',
    {
      section: 'jobs',
      subject: '0123456789'
    }
  ],
  [
    { action: 'install-log', subject: 'train' },
    'Show what was installed on server train',
    {
      section: 'environment',
      subject: 'train'
    }
  ]
])('leads where it is mended: %j', (about, name, place) => {
  shown(about);
  fireEvent.click(screen.getByRole('button', { name }));
  expect(led).toEqual([place]);
  expect(jupyter.asked).toEqual([]);
});

it.each<[Partial<IAlert>, string, string[]]>([
  [
    { action: 'restart', subject: 'train' },
    'Restart server train',
    ['POST', 'rexec/api/servers/train/restart', '{"force":false}']
  ],
  [
    { action: 'restart', subject: 'main' },
    'Restart session main',
    ['POST', 'rexec/api/sessions/main/restart', '{"force":false}']
  ],
  [
    { action: 'extend', subject: 'train' },
    'Let server train live 1 h longer',
    ['POST', 'rexec/api/servers/train/extend', '{"seconds":3600}']
  ]
])('mends it: %j', async (about, name, asked) => {
  shown(about);
  fireEvent.click(screen.getByRole('button', { name }));
  await waitFor(() => expect(jupyter.asked).toEqual([asked]));
});

it('has no button for what may not be changed, but leads to logs', () => {
  panel.store.restrict('server', true);
  shown(
    {},
    {
      alerts: (['login', 'restart', 'extend', 'log'] as const).map(action =>
        alert({ key: action, action, subject: 'train' })
      )
    }
  );
  expect(screen.getAllByRole('button').map(button => button.textContent)).toEqual(['Show log']);
});

it('reads out errors that are new, once, and nothing else', () => {
  render(panel.with(<Alerts />));
  const said = screen.getByRole('alert');
  const old = alert({ key: 'old', cause: 'An old one.' });
  tell(panel, { alerts: [old] });
  expect(said.textContent).toBe('');
  const warning = alert({ key: 'w', severity: 'warning', cause: 'A warning.' });
  tell(panel, { alerts: [old, warning] });
  expect(said.textContent).toBe('');
  const fresh = alert({ key: 'fresh', cause: 'A new one.', hint: 'Do it.' });
  tell(panel, { alerts: [old, warning, fresh] });
  expect(said.textContent).toBe('A new one. Do it.');
  tell(panel, { alerts: [{ ...fresh, cause: 'A new one, for 2 s.' }] });
  expect(said.textContent).toBe('A new one. Do it.');
});

it('shows markup as text', () => {
  shown({ cause: HOSTILE, hint: HOSTILE, subject: HOSTILE, action: 'restart' });
  expect(screen.getByRole('listitem').querySelector('img')).toBeNull();
  expect(screen.getByText(HOSTILE, { selector: 'bdi' })).toBeTruthy();
});
