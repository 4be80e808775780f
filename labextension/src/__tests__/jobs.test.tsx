/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import React from 'react';

import type { IJob, INews } from '../messages';
import { Jobs } from '../sections/jobs';
import { clipboard } from './clipboard';
import { TestPanel } from './panel';
import { json, running } from './server';

const server = running();
let panel: TestPanel;

beforeEach(() => {
  server.asked.length = 0;
  server.answer = (_, response) =>
    json(response, {
      pieces: [],
      next: 0,
      size: 0,
      skipped: 0,
      known: true,
      ended: true,
      state: ''
    });
  panel = new TestPanel(server.settings.baseUrl);
  render(panel.with(<Jobs />));
});
afterEach(() => void jest.useRealTimers());

function job(id: string, more: Partial<IJob> = {}): IJob {
  return {
    ...{ id, name: `name ${id}`, session: 'default', kind: 'cell', state: 'done', open: false },
    ...{ submitted: 100, started: 101, ended: 108, line: '', percent: -1 },
    ...more
  };
}

const RUNNING = { state: 'running', open: true, ended: 0 };
const QUEUED = { state: 'queued', open: true, started: 0, ended: 0 };

function news(jobs: IJob[], more: Partial<INews> = {}): void {
  act(() => panel.store.take({ type: 'news', now: Date.now() / 1000, jobs, ...more }));
}

function names(): (string | null)[] {
  return screen
    .getAllByRole('listitem')
    .map(row => row.querySelector('.rexec-Job-name')?.textContent ?? null);
}

it('says what to do where there are none', () => {
  news([]);
  expect(screen.getByText(/Put %%rexec at the top of a cell/)).toBeTruthy();
});

it('has what runs first, then what waits, then what ended', () => {
  news([
    job('a', { submitted: 9 }),
    job('b', { ...QUEUED, submitted: 5 }),
    job('c', { ...RUNNING, submitted: 1 }),
    job('d', { state: 'failed', submitted: 10 })
  ]);
  expect(names()).toEqual(['name c', 'name b', 'name d', 'name a']);
});

it('tells how each stands', () => {
  jest.useFakeTimers({ now: 1_800_000_000_000 });
  const started = Date.now() / 1000 - 65;
  news([
    job('a', { ...RUNNING, started, line: 'epoch 3', percent: 42 }),
    job('b', { name: '<b>שלום</b>', state: 'failed' })
  ]);
  const [a, b] = screen.getAllByRole('listitem');
  expect(a.textContent).toMatch(/^name a1:05runningdefaultepoch 3$/);
  expect(within(a).getByRole('progressbar').getAttribute('aria-valuenow')).toBe('42');
  expect(b.textContent).toBe('<b>שלום</b>7 sfaileddefault');
  expect(b.querySelector('bdi')?.textContent).toBe('<b>שלום</b>');
  expect(within(b).queryByRole('progressbar')).toBeNull();
  expect(document.querySelector('[aria-live]')).toBeNull();
});

it('ticks while something goes on', () => {
  jest.useFakeTimers({ now: 1_800_000_000_000 });
  news([job('a', { ...RUNNING, started: Date.now() / 1000 })]);
  const row = screen.getByRole('listitem');
  expect(row.textContent).toMatch(/0:00/);
  act(() => jest.advanceTimersByTime(2000));
  expect(row.textContent).toMatch(/0:02/);
});

it('asks to cancel, and to interrupt what runs', async () => {
  news([job('a/1', RUNNING), job('b', QUEUED), job('c')]);
  expect(screen.getAllByRole('button', { name: /^Interrupt/ })).toHaveLength(1);
  server.answer = (_, response) => json(response, { text: 'It is told to stop.' });
  fireEvent.click(screen.getByRole('button', { name: 'Interrupt name a/1' }));
  fireEvent.click(screen.getByRole('button', { name: 'Cancel name b' }));
  await waitFor(() => expect(panel.said).toHaveLength(2));
  expect(server.asked.map(([method, path]) => [method, path]).sort()).toEqual([
    ['POST', 'rexec/api/jobs/a%2F1/interrupt'],
    ['POST', 'rexec/api/jobs/b/cancel']
  ]);
  expect(panel.said[0]).toEqual(['success', 'It is told to stop.']);
});

it('offers nothing that changes anything to who may only look', () => {
  news([job('a', RUNNING)]);
  act(() => panel.store.restrict('server', true));
  expect(screen.queryByRole('button', { name: /^(Cancel|Interrupt)/ })).toBeNull();
  expect(screen.getByRole('button', { name: /^Attach/ })).toBeTruthy();
});

it('attaches in the notebook, or says that it copied what does', () => {
  const copied = clipboard();
  news([job('0123456789abcdef', RUNNING)]);
  const button = screen.getByRole('button', { name: /^Attach name/ });
  fireEvent.click(button);
  expect(panel.inserted).toEqual(['%rexec attach 01234567']);
  expect(panel.said).toEqual([]);
  panel.notebooks.insert = () => false;
  fireEvent.click(button);
  expect(copied).toEqual(['%rexec attach 01234567']);
  expect(panel.said[0][1]).toMatch(/No notebook is open/);
});

it('attaches by the whole id where a part of it is not one job’s', () => {
  news([job('01234567aa', RUNNING), job('01234567bb')]);
  fireEvent.click(screen.getByRole('button', { name: /^Attach name 01234567bb/ }));
  expect(panel.inserted).toEqual(['%rexec attach 01234567bb']);
});

it('keeps the focus when the button that had it goes', () => {
  news([job('a', RUNNING), job('b', RUNNING)]);
  act(() => screen.getByRole('button', { name: 'Cancel name b' }).focus());
  news([job('b', { state: 'cancelled' })]);
  expect(document.activeElement?.textContent).toBe('name b');
});

it('finds jobs', () => {
  news([
    job('a', RUNNING),
    job('b', { state: 'crashed' }),
    job('c', { session: 'Train' }),
    job('d')
  ]);
  const which = screen.getByLabelText('Which jobs');
  expect(
    within(which)
      .getAllByRole('option')
      .map(each => each.textContent)
  ).toEqual(['All (4)', 'Open (1)', 'Failed (1)']);
  fireEvent.change(which, { target: { value: 'failed' } });
  expect(names()).toEqual(['name b']);
  expect(screen.getByRole('status').textContent).toBe('1 job is shown');
  fireEvent.change(which, { target: { value: 'all' } });
  fireEvent.change(screen.getByRole('searchbox'), { target: { value: ' tRAIN ' } });
  expect(names()).toEqual(['name c']);
  fireEvent.change(screen.getByRole('searchbox'), { target: { value: 'nothing' } });
  expect(screen.getByText('No job is like that.')).toBeTruthy();
  const said = screen.getByRole('status').textContent;
  news([job('nothing')]);
  expect(names()).toEqual(['name nothing']);
  expect(screen.getByRole('status').textContent).toBe(said);
});

it('shows a log, and goes back to the job when it is closed', async () => {
  news([job('a'), job('b', RUNNING)]);
  const row = screen.getByRole('button', { name: /^Log of name a/ });
  fireEvent.click(row);
  expect(row.getAttribute('aria-pressed')).toBe('true');
  expect(document.activeElement?.textContent).toBe('Log of name a');
  await waitFor(() => expect(server.asked[0][1]).toBe('rexec/api/jobs/a/log?tail=500'));
  fireEvent.click(screen.getByRole('button', { name: 'Close the log of name a' }));
  expect(screen.queryByRole('log')).toBeNull();
  expect(document.activeElement).toBe(row);
});

it('goes where the user is led', () => {
  news([job('a'), job('b', { session: 'train' })]);
  act(() => panel.reveal.emit({ section: 'jobs', subject: 'a' }));
  expect(screen.getByRole('log')).toBeTruthy();
  act(() => panel.reveal.emit({ section: 'jobs', subject: 'train' }));
  expect(names()).toEqual(['name b']);
});
