/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import React from 'react';

import type { IJob, ISession } from '../messages';
import { Sessions } from '../sections/sessions';
import { TestPanel } from './panel';
import { HOSTILE, called, connection, server, session, tell } from './samples';
import { running } from './server';

const JOB: IJob = {
  ...{ id: '0123456789abcdef', name: 'fit', session: 'main', kind: 'cell', state: 'running' },
  ...{ open: true, submitted: 1, started: 1, ended: 0, line: '', percent: -1 }
};

const jupyter = running();
let panel: TestPanel;

beforeEach(() => {
  jupyter.asked.length = 0;
  jupyter.answer = (_, response) => response.end('{"text": "Begun."}');
  panel = new TestPanel(jupyter.settings.baseUrl);
});

function shown(...sessions: ISession[]): void {
  render(panel.with(<Sessions />));
  tell(panel, { connection: connection(), servers: [server()], sessions, jobs: [JOB] });
}

function buttons(list = 'Sessions'): string[] {
  return called(within(screen.getByRole('list', { name: list })).getAllByRole('button'));
}

function press(name: string): void {
  fireEvent.click(screen.getByRole('button', { name }));
}

it('offers what its state allows', () => {
  shown(session());
  const use = 'Have the notebook use session main: insert %rexec use';
  expect(buttons()).toEqual([use, 'Restart session main', 'Stop session main']);
  tell(panel, { sessions: [session({ state: 'busy', running: JOB.id, queued: 2 })] });
  expect(buttons()).toEqual([
    use,
    'Interrupt session main',
    'Restart session main',
    'Stop session main',
    'Runs fit: show its log'
  ]);
  expect(screen.getByRole('listitem').textContent).toContain('2 cells wait');
  tell(panel, { sessions: [session({ state: 'starting' })] });
  expect(buttons()).toEqual([use, 'Stop session main']);
});

it.each([
  ['Interrupt session main', ['POST', 'rexec/api/sessions/main/interrupt', '{}']],
  ['Restart session main', ['POST', 'rexec/api/sessions/main/restart', '{"force":false}']],
  ['Stop session main', ['DELETE', 'rexec/api/sessions/main', '{"force":false}']]
])('asks: %s', async (name, asked) => {
  shown(session({ state: 'busy', running: JOB.id }));
  press(name);
  await waitFor(() => expect(jupyter.asked).toEqual([asked]));
});

it('names sessions in addresses as they are called', async () => {
  shown(session({ name: 'a/b ü' }));
  press('Stop session a/b ü');
  await waitFor(() =>
    expect(jupyter.asked.map(([, path]) => path)).toEqual(['rexec/api/sessions/a%2Fb%20%C3%BC'])
  );
});

it('leads to the log of what runs', () => {
  shown(session({ state: 'busy', running: JOB.id }));
  const led: unknown[] = [];
  panel.reveal.connect((_, place) => void led.push(place));
  press('Runs fit: show its log');
  expect(led).toEqual([{ section: 'jobs', subject: JOB.id }]);
});

it('has the notebook use a session', () => {
  shown(session({ name: 'my own' }));
  press('Have the notebook use session my own: insert %rexec use');
  expect(panel.inserted).toEqual(["%rexec use 'my own'"]);
});

it('keeps stopped ones out of sight until they are asked for', async () => {
  shown(session(), session({ name: 'old', state: 'stopped' }));
  expect(screen.queryByText('old')).toBeNull();
  press('Show 1 stopped session');
  expect(buttons('Stopped sessions')).toEqual([
    'Have the notebook use session old: insert %rexec use',
    'Start session old'
  ]);
  press('Start session old');
  await waitFor(() =>
    expect(jupyter.asked).toEqual([['POST', 'rexec/api/sessions', '{"name":"old"}']])
  );
  press('Hide stopped sessions');
  expect(screen.queryByText('old')).toBeNull();
});

it('starts one by its name', async () => {
  shown(session());
  press('Start a session');
  const form = screen.getByRole('form', { name: 'Start a session' });
  const name = within(form).getByLabelText('Name');
  fireEvent.submit(form);
  expect(within(form).getByText('Give it a name.')).toBeTruthy();
  fireEvent.change(name, { target: { value: 'main' } });
  fireEvent.submit(form);
  expect(within(form).getByText('Session main runs already.')).toBeTruthy();
  fireEvent.change(name, { target: { value: ' ניתוח ' } });
  fireEvent.submit(form);
  await waitFor(() => expect(screen.queryByRole('form')).toBeNull());
  expect(jupyter.asked).toEqual([['POST', 'rexec/api/sessions', '{"name":"ניתוח"}']]);
});

it('opens the form when the user is led there', () => {
  shown();
  act(() => panel.reveal.emit({ section: 'sessions', subject: 'start' }));
  expect(document.activeElement).toBe(screen.getByLabelText('Name'));
});

it('only shows if nothing may be changed', () => {
  panel.store.restrict('settings', true);
  shown(session({ state: 'busy', running: JOB.id }));
  expect(buttons()).toEqual([
    'Have the notebook use session main: insert %rexec use',
    'Runs fit: show its log'
  ]);
  expect(screen.queryByRole('button', { name: 'Start a session' })).toBeNull();
});

it('shows names as they are, and executes none', () => {
  shown(session({ name: HOSTILE }));
  expect(document.querySelector('img')).toBeNull();
  expect(screen.getByText(HOSTILE, { selector: 'bdi' })).toBeTruthy();
});

it('tells how long nothing ran, and on which server if there are several', () => {
  const now = Date.now() / 1000;
  shown(session({ idle_since: now - 600 }));
  expect(screen.getByRole('listitem').textContent).toContain('for 10 min');
  expect(screen.getByRole('listitem').textContent).not.toContain('on train');
  tell(panel, { servers: [server(), server({ name: 'default' })] });
  expect(screen.getByRole('listitem').textContent).toContain('on train');
});
