/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import React from 'react';

import type { IProfiles, IServer } from '../messages';
import { Servers } from '../sections/servers';
import { TestPanel } from './panel';
import { HOSTILE, called, connection, describing, server, tell } from './samples';
import { running } from './server';

const PROFILES: IProfiles = {
  profiles: [
    {
      name: 'small',
      description: 'For everyday work.',
      fields: [
        {
          ...{ name: 'memory', title: 'Memory', kind: 'number', help: '', default: '4' },
          ...{ maximum: 8, unit: 'GiB', factor: 2 ** 30, choices: [] }
        }
      ]
    },
    { name: 'large', description: 'For more.', fields: [] }
  ],
  several: true,
  requirements: true
};

const jupyter = running();
let panel: TestPanel;

beforeEach(() => {
  jupyter.asked.length = 0;
  jupyter.answer = ({ method }, response) =>
    response.end(JSON.stringify(method === 'GET' ? PROFILES : { text: 'Begun.' }));
  panel = new TestPanel(jupyter.settings.baseUrl);
});
afterEach(() => void jest.useRealTimers());

function shown(...servers: IServer[]): void {
  render(panel.with(<Servers />));
  tell(panel, { connection: connection(), servers });
}

function buttons(): string[] {
  const list = screen.getByRole('list', { name: 'Servers' });
  return called(within(list).getAllByRole('button'));
}

function press(name: string): void {
  fireEvent.click(screen.getByRole('button', { name }));
}

async function opened(): Promise<HTMLElement> {
  press('Start a server');
  return screen.findByRole('form', { name: 'Start a server' });
}

it('tells what a server is and how it does', () => {
  shown(server({ gpu: 1, running: 2, queued: 1, ends: Date.now() / 1000 + 2 * 3600 + 30 }));
  const text = screen.getByRole('listitem').textContent;
  for (const part of ['train', 'ready', 'small', 'Python 3.11', '2 cores', '4 GiB', '1 GPU']) {
    expect(text).toContain(part);
  }
  expect(text).toContain('2 jobs run');
  expect(text).toContain('1 job waits');
  expect(text).toContain('ends in 2 h');
});

it('says in its own words what the phase does not tell', () => {
  shown(server({ state: 'failed', phase: 'is failed' }), server({ name: 'b', phase: 'fetches x' }));
  expect(screen.getByText('failed')).toBeTruthy();
  expect(screen.getByText('fetches x')).toBeTruthy();
});

it('counts down towards the end', () => {
  jest.useFakeTimers({ now: 1_800_000_000_000 });
  shown(server({ ends: Date.now() / 1000 + 125.5 }));
  expect(screen.getByText('ends in 2:05')).toBeTruthy();
  act(() => jest.advanceTimersByTime(1000));
  expect(screen.getByText('ends in 2:04')).toBeTruthy();
});

it('offers what can be asked for', () => {
  shown(server());
  expect(buttons()).toEqual([
    'Show the install log of server train',
    'Restart server train',
    'Stop server train',
    'Extend the life of server train'
  ]);
  tell(panel, { servers: [server({ can: ['stop'] })] });
  expect(buttons()).toEqual(['Stop server train']);
});

it('offers only to look if nothing may be changed', () => {
  panel.store.restrict('server', true);
  shown(server());
  expect(buttons()).toEqual(['Show the install log of server train']);
  expect(screen.queryByRole('button', { name: 'Start a server' })).toBeNull();
  tell(panel, { servers: [] });
  expect(screen.queryByRole('button', { name: /Start/ })).toBeNull();
});

it.each([
  ['Restart server train', ['POST', 'rexec/api/servers/train/restart', '{"force":false}']],
  ['Stop server train', ['DELETE', 'rexec/api/servers/train', '{"force":false}']]
])('asks: %s', async (name, asked) => {
  shown(server());
  press(name);
  await waitFor(() => expect(jupyter.asked).toEqual([asked]));
});

it('lets a server live for as long as is chosen', async () => {
  shown(server());
  press('Extend the life of server train');
  press('Do not let server train end within 4 h');
  await waitFor(() => expect(panel.said).toEqual([['success', 'Begun.']]));
  expect(jupyter.asked).toEqual([['POST', 'rexec/api/servers/train/extend', '{"seconds":14400}']]);
  const extend = screen.getByRole('button', { name: 'Extend the life of server train' });
  expect(document.activeElement).toBe(extend);
  expect(extend.getAttribute('aria-expanded')).toBe('false');
});

it('starts a server as the form says', async () => {
  shown(server({ name: 'default' }));
  const form = await opened();
  const name = within(form).getByLabelText('Name');
  expect(document.activeElement).toBe(name);
  fireEvent.change(name, { target: { value: 'train' } });
  fireEvent.change(within(form).getByLabelText('Memory (GiB)'), { target: { value: '2' } });
  fireEvent.change(within(form).getByLabelText('Packages'), { target: { value: 'numpy>=2' } });
  fireEvent.submit(form);
  await waitFor(() => expect(panel.said).toEqual([['success', 'Begun.']]));
  expect(JSON.parse(jupyter.asked[1][2])).toEqual({
    name: 'train',
    profile: 'small',
    requirements: ['numpy>=2'],
    options: { memory: 2 ** 31 },
    force: false
  });
  expect(screen.queryByRole('form')).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Start a server' }));
});

it('has the fields of the profile that is chosen', async () => {
  shown();
  const form = await opened();
  expect(within(form).getByText('For everyday work.')).toBeTruthy();
  fireEvent.change(within(form).getByLabelText('Profile'), { target: { value: 'large' } });
  expect(within(form).getByText('For more.')).toBeTruthy();
  expect(within(form).queryByLabelText('Memory (GiB)')).toBeNull();
});

it('asks nothing of the server while a field is wrong, and goes there', async () => {
  shown();
  const form = await opened();
  const memory = within(form).getByLabelText('Memory (GiB)');
  fireEvent.change(memory, { target: { value: '9' } });
  fireEvent.submit(form);
  expect(document.activeElement).toBe(memory);
  expect(describing(memory)).toEqual(['The most there is: 8 GiB.', 'At most 8 GiB.']);
  expect(jupyter.asked.length).toBe(1);
  fireEvent.change(memory, { target: { value: '8' } });
  expect(describing(memory)).toEqual(['At most 8 GiB.']);
});

it('tells beside the form why the server was refused, and keeps what was filled in', async () => {
  shown();
  const form = await opened();
  jupyter.answer = (_, response) => {
    response.statusCode = 422;
    response.end(JSON.stringify({ message: `Line 1: ${HOSTILE}`, hint: 'Mend it.' }));
  };
  fireEvent.change(within(form).getByLabelText('Packages'), { target: { value: 'nmupy' } });
  fireEvent.submit(form);
  await waitFor(() =>
    expect(within(form).getByRole('alert').textContent).toBe(`Line 1: ${HOSTILE} Mend it.`)
  );
  expect(form.querySelector('img')).toBeNull();
  expect(within(form).getByLabelText<HTMLTextAreaElement>('Packages').value).toBe('nmupy');
});

it('replaces a server only when told what is lost', async () => {
  shown();
  const form = await opened();
  jupyter.answer = (_, response, body) => {
    if ((JSON.parse(body) as { force: boolean }).force) {
      response.end('{"text": "Replaced."}');
    } else {
      response.statusCode = 409;
      response.end('{"message": "There is another.", "losses": ["3 variables"]}');
    }
  };
  fireEvent.submit(form);
  expect(await screen.findByText('3 variables')).toBeTruthy();
  fireEvent.click(screen.getByText('Do it all the same'));
  await waitFor(() => expect(panel.said).toEqual([['success', 'Replaced.']]));
  expect(screen.queryByRole('form')).toBeNull();
});

it('asks before one that is another is replaced, even if nothing runs there', async () => {
  shown(server({ name: 'train' }));
  const form = await opened();
  jupyter.answer = (_, response) => {
    response.statusCode = 409;
    response.end('{"message": "It is not what you ask for."}');
  };
  fireEvent.change(within(form).getByLabelText('Name'), { target: { value: 'train' } });
  fireEvent.submit(form);
  expect(await screen.findByText('Server train as it is')).toBeTruthy();
  fireEvent.click(screen.getByText('Keep it'));
  await waitFor(() => expect(screen.queryByText('Server train as it is')).toBeNull());
  fireEvent.change(within(form).getByLabelText('Name'), { target: { value: 'other' } });
  fireEvent.submit(form);
  await waitFor(() =>
    expect(within(form).getByRole('alert').textContent).toBe('It is not what you ask for.')
  );
  expect(jupyter.asked.slice(1).every(([, , body]) => body.includes('"force":false'))).toBe(true);
});

it('tells why the form cannot be made, and tries again', async () => {
  jupyter.answer = (_, response) => {
    response.statusCode = 503;
    response.end('{"message": "It does not answer."}');
  };
  shown();
  press('Start a server');
  expect(await screen.findByText('It does not answer.')).toBeTruthy();
  jupyter.answer = (_, response) => response.end(JSON.stringify(PROFILES));
  press('Try again');
  expect(await screen.findByRole('form', { name: 'Start a server' })).toBeTruthy();
});

it('gives the form up with Escape, back to its button', async () => {
  shown();
  const form = await opened();
  fireEvent.keyDown(within(form).getByLabelText('Name'), { key: 'Escape' });
  expect(screen.queryByRole('form')).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Start a server' }));
});

it('leads on to sessions where there can be one server only', () => {
  render(panel.with(<Servers />));
  const led: unknown[] = [];
  panel.reveal.connect((_, place) => void led.push(place));
  const here = connection({ backend: 'embedded', url: '' });
  tell(panel, { connection: here, servers: [server({ name: 'default' })] });
  act(() => panel.reveal.emit({ section: 'servers', subject: 'start' }));
  expect(led).toContainEqual({ section: 'sessions', subject: 'start' });
});

it('says what to do where there is none', () => {
  shown();
  expect(screen.getByText(/No server runs/)).toBeTruthy();
  tell(panel, { connection: connection({ state: 'login' }) });
  const led: unknown[] = [];
  panel.reveal.connect((_, place) => void led.push(place));
  press('Log in to see your servers');
  expect(led).toEqual([{ section: 'connection', subject: 'login' }]);
  tell(panel, { connection: connection({ backend: 'embedded', state: 'stopped' }) });
  act(() => panel.reveal.emit({ section: 'servers', subject: 'start' }));
  expect(screen.getByRole('button', { name: 'Start the server of this computer' })).toBeTruthy();
});

it('shows names as they are, and executes none', () => {
  shown(server({ name: HOSTILE, phase: HOSTILE, profile: HOSTILE, facts: { [HOSTILE]: HOSTILE } }));
  expect(document.querySelector('img')).toBeNull();
  expect(screen.getAllByText(HOSTILE, { selector: 'bdi' }).length).toBe(2);
  expect((window as unknown as { harmed?: number }).harmed).toBeUndefined();
});

it('says when a server gets into another state, and not what there was', () => {
  shown(server({ state: 'starting', phase: 'starts' }));
  const said = screen.getByRole('status');
  expect(said.textContent).toBe('');
  tell(panel, { servers: [server()] });
  expect(said.textContent).toBe('Server train: ready.');
});
