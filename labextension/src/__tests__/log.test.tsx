/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import type { ServerResponse } from 'http';
import React from 'react';

import type { ILog } from '../messages';
import { Log } from '../parts/log';
import { clipboard } from './clipboard';
import { TestPanel } from './panel';
import { json, TestServer } from './server';

let server: TestServer;
let panel: TestPanel;
/** A question that is not answered yet. */
let waiting: ServerResponse | null = null;

beforeEach(async () => {
  server = new TestServer();
  await server.start();
  panel = new TestPanel(server.settings.baseUrl);
  waiting = null;
});
afterEach(() => server.stop());

function log(text: string, more: Partial<ILog> = {}): ILog {
  const pieces = text ? [{ kind: 'stdout' as const, text }] : [];
  return {
    ...{ pieces, next: text.length, size: text.length, skipped: 0 },
    ...{ known: true, ended: false, state: 'running' },
    ...more
  };
}

/** Answer with these, one after another; then let them wait. */
function answers(...logs: (ILog | number)[]): void {
  server.answer = (_, response) => {
    const next = logs.shift();
    if (next === undefined) {
      waiting = response;
    } else if (typeof next === 'number') {
      json(response, { message: 'It broke.', hint: '', code: '', losses: [] }, next);
    } else {
      json(response, next);
    }
  };
}

function open(): ReturnType<typeof render> {
  return render(panel.with(<Log id="0123456789" name="train" onClose={() => undefined} />));
}

function lines(): string[] {
  return [...document.querySelectorAll('.rexec-Log-line')].map(line => line.textContent ?? '');
}

function said(): string {
  return screen.getByRole('status').textContent ?? '';
}

function asked(): string[] {
  return server.asked.map(([, path]) => path.replace('rexec/api/jobs/0123456789/log?', ''));
}

it('begins with the last lines, follows, and says how it ended', async () => {
  answers(log('a\nb'), log('c\n', { next: 5, size: 5 }));
  open();
  await waitFor(() => expect(lines()).toEqual(['a', 'bc']));
  expect(said()).toBe('Following…');
  await waitFor(() => expect(waiting).not.toBeNull());
  expect(asked()).toEqual(['tail=500', 'after=3&wait=20', 'after=5&wait=20']);
  answers();
  json(waiting, log('d', { next: 6, size: 6, ended: true, state: 'failed' }));
  await waitFor(() => expect(said()).toBe('The end; the job is failed.'));
  expect(lines()).toEqual(['a', 'bc', 'd']);
  expect(screen.getByRole('button', { name: 'Pause' }).getAttribute('aria-disabled')).toBe('true');
});

it('says how much there was before', async () => {
  answers(log('end\n', { skipped: 1_200_000_000, ended: true, state: 'done' }));
  open();
  await waitFor(() =>
    expect(screen.getByText('… 1.2 GB before this: %rexec logs 01234567 tells all')).toBeTruthy()
  );
});

it('gives up the question when it is closed', async () => {
  answers(log('a'));
  const { unmount } = open();
  await waitFor(() => expect(waiting).not.toBeNull());
  const closed = new Promise(resolve => waiting?.on('close', resolve));
  unmount();
  await closed;
  expect(panel.said).toEqual([]);
});

it('leaves out the middle of what comes too fast', async () => {
  answers(
    log('begin\n', { next: 6, size: 50_000_000 }),
    log('end\n', { skipped: 49_999_990, next: 50_000_000, size: 50_000_000 })
  );
  open();
  await waitFor(() => expect(lines()).toEqual(['end']));
  expect(asked().slice(0, 2)).toEqual(['tail=500', 'tail=500']);
  expect(screen.getByText(/50 MB before this/)).toBeTruthy();
});

it('executes no markup', async () => {
  const evil = '<img src=x onerror="window.hurt=1">\x1b[31m<script>window.hurt=1</script>';
  answers(log(evil, { ended: true }));
  open();
  await waitFor(() => expect(lines()[0]).toContain('<img src=x'));
  expect(document.querySelector('.rexec-Log img, .rexec-Log script')).toBeNull();
});

it('goes on after trouble, from where it was', async () => {
  answers(log('a'), 502, log('b', { next: 2, size: 2 }));
  open();
  await waitFor(() => expect(said()).toBe('It broke. Trying again…'));
  await waitFor(() => expect(lines()).toEqual(['ab']));
  expect(said()).toBe('Following…');
  expect(asked().slice(0, 3)).toEqual(['tail=500', 'after=1&wait=20', 'after=1&wait=20']);
});

it('says when nothing is kept, and when the job is gone', async () => {
  answers(log('', { known: false }));
  const { unmount } = open();
  await waitFor(() => expect(said()).toMatch(/^Nothing is kept of this job/));
  unmount();
  answers(404);
  open();
  await waitFor(() => expect(said()).toBe('It broke.'));
});

it('waits for a job that has not begun', async () => {
  const job = {
    ...{ id: '0123456789', name: 'train', session: 's', kind: 'cell', state: 'queued', open: true },
    ...{ submitted: 1, started: 0, ended: 0, line: '', percent: -1 }
  };
  panel.store.take({ type: 'news', now: 1, jobs: [job] });
  answers(log('', { known: false }), log('a'));
  open();
  await waitFor(() => expect(said()).toMatch(/^It has not begun/));
  await waitFor(() => expect(lines()).toEqual(['a']));
});

it('can be paused, and goes on', async () => {
  answers(log('a'));
  open();
  await waitFor(() => expect(waiting).not.toBeNull());
  const closed = new Promise(resolve => waiting?.on('close', resolve));
  fireEvent.click(screen.getByRole('button', { name: 'Pause' }));
  await closed;
  expect(said()).toBe('Paused; the job is not.');
  answers(log('b', { next: 2, size: 2 }));
  fireEvent.click(screen.getByRole('button', { name: 'Go on' }));
  await waitFor(() => expect(lines()).toEqual(['ab']));
});

it('copies what is shown, without colours', async () => {
  const copied = clipboard();
  answers(log('a\x1b[31mb\nc', { ended: true }));
  open();
  await waitFor(() => expect(lines()).toHaveLength(2));
  fireEvent.click(screen.getByRole('button', { name: 'Copy what is shown' }));
  expect(copied).toEqual(['ab\nc']);
});

it('is read out only on request', async () => {
  answers(log('a', { ended: true }));
  open();
  await waitFor(() => expect(lines()).toHaveLength(1));
  const text = screen.getByRole('log');
  expect(text.getAttribute('aria-live')).toBe('off');
  fireEvent.click(screen.getByRole('button', { name: 'Read out' }));
  expect(text.getAttribute('aria-live')).toBe('polite');
});

it('stays at its end unless somebody scrolls away from there', async () => {
  answers(log('a'));
  open();
  const text = screen.getByRole('log');
  const height = jest.spyOn(text, 'scrollHeight', 'get').mockReturnValue(1000);
  jest.spyOn(text, 'clientHeight', 'get').mockReturnValue(100);
  await waitFor(() => expect(text.scrollTop).toBe(1000));
  await waitFor(() => expect(waiting).not.toBeNull());
  text.scrollTop = 300;
  fireEvent.scroll(text);
  height.mockReturnValue(2000);
  answers();
  act(() => json(waiting, log('\nb', { next: 3, size: 3 })));
  await waitFor(() => expect(lines()).toEqual(['a', 'b']));
  expect(text.scrollTop).toBe(300);
  fireEvent.click(screen.getByRole('button', { name: 'To the end' }));
  expect(text.scrollTop).toBe(2000);
});
