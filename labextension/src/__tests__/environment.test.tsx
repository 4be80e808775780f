/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import React from 'react';

import type { IServer } from '../messages';
import { Environment, joined } from '../sections/environment';
import { TestPanel } from './panel';
import { HOSTILE, connection, server, session, tell } from './samples';
import { running } from './server';

const jupyter = running();
let panel: TestPanel;

beforeEach(() => {
  jupyter.asked.length = 0;
  jupyter.answer = (_, response) => response.end('{"lines": ["one", "two"], "going_on": true}');
  panel = new TestPanel(jupyter.settings.baseUrl);
});

function shown(about: Partial<IServer> = {}, backend: 'embedded' | 'endpoint' = 'endpoint'): void {
  render(panel.with(<Environment />));
  tell(panel, {
    connection: connection({ backend }),
    servers: [server({ requirements: ['numpy>=2', 'pandas'], ...about })],
    sessions: [session({ name: 'main' })]
  });
}

function press(name: string): void {
  fireEvent.click(screen.getByRole('button', { name }));
}

function adding(text: string): HTMLElement {
  press('Add packages on server train');
  const form = screen.getByRole('form', { name: 'Add packages' });
  fireEvent.change(within(form).getByLabelText('Packages'), { target: { value: text } });
  return form;
}

it('lists what was asked for, and inserts what starts the like', () => {
  shown();
  const list = screen.getByRole('list', { name: 'Packages asked for on server train' });
  expect(
    within(list)
      .getAllByRole('listitem')
      .map(item => item.textContent)
  ).toEqual(['numpy>=2', 'pandas']);
  press('Insert the line that starts a server with the packages of train');
  expect(panel.inserted).toEqual(["%rexec start train -r 'numpy>=2' pandas"]);
});

it('inserts what adds packages to a server that runs', () => {
  shown();
  const form = adding('polars\nnumpy>=3 # new');
  fireEvent.submit(form);
  return waitFor(() =>
    expect(panel.inserted).toEqual(["%rexec install polars 'numpy>=3' -s main"])
  );
});

it('inserts what starts another with more', async () => {
  shown();
  const form = adding('polars, pandas');
  fireEvent.click(within(form).getByLabelText('on a new server in its place'));
  fireEvent.submit(form);
  await waitFor(() =>
    expect(panel.inserted).toEqual(["%rexec start train -r 'numpy>=2' pandas polars"])
  );
});

it('inserts nothing that is no package', () => {
  shown();
  const form = adding('--find-links wheels');
  fireEvent.submit(form);
  expect(within(form).getByText(/options such as --find-links/)).toBeTruthy();
  expect(panel.inserted).toEqual([]);
});

it('tells that the embedded backend has the packages of its Python', () => {
  shown({ requirements: [], can: ['stop'] }, 'embedded');
  expect(
    screen.getByText('Sessions use the packages of this computer’s Python 3.11.')
  ).toBeTruthy();
  const form = adding('polars');
  expect(within(form).queryByRole('radio')).toBeNull();
  expect(within(form).getByText('%rexec install polars')).toBeTruthy();
  expect(screen.queryByText('Install log')).toBeNull();
});

it('follows an installation, each line once', async () => {
  shown({ state: 'installing' });
  act(() => panel.reveal.emit({ section: 'environment', subject: 'train' }));
  expect(await screen.findByText(/one\s+two/)).toBeTruthy();
  expect(jupyter.asked[0].slice(0, 2)).toEqual(['GET', 'rexec/api/servers/train/log?tail=500']);
  tell(panel, { installing: { train: ['two', HOSTILE] } });
  const log = screen.getByRole('region', { name: 'What was installed on server train' });
  expect(log.textContent).toBe(`one\ntwo\n${HOSTILE}`);
  expect(log.querySelector('img')).toBeNull();
});

it('opens the log when the user is led there', async () => {
  shown();
  expect(jupyter.asked).toEqual([]);
  act(() => panel.reveal.emit({ section: 'environment', subject: 'train' }));
  expect(await screen.findByText(/one\s+two/)).toBeTruthy();
  expect(document.activeElement?.getAttribute('aria-label')).toBe('Install log of server train');
});

it('tells why the log cannot be had', async () => {
  jupyter.answer = (_, response) => {
    response.statusCode = 404;
    response.end('{"message": "There is no log.", "hint": "It was never kept."}');
  };
  shown();
  act(() => panel.reveal.emit({ section: 'environment', subject: 'train' }));
  expect(await screen.findByText('There is no log. It was never kept.')).toBeTruthy();
});

describe('lines that were asked for and lines that came', () => {
  it.each<[string[], string[], string[]]>([
    [['a', 'b'], [], ['a', 'b']],
    [[], ['a', 'b'], ['a', 'b']],
    [
      ['a', 'b', 'c'],
      ['b', 'c', 'd'],
      ['a', 'b', 'c', 'd']
    ],
    [
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'b']
    ],
    [
      ['b', 'c'],
      ['a', 'b', 'c', 'd'],
      ['a', 'b', 'c', 'd']
    ],
    [['a'], ['b'], ['a', 'b']],
    [['a', 'b', 'c'], ['a'], ['a', 'b', 'c']],
    [
      ['b', 'c', 'd'],
      ['a', 'b'],
      ['a', 'b', 'c', 'd']
    ],
    [
      ['a', ' + b'],
      ['a', '+ b', 'c'],
      ['a', ' + b', 'c']
    ],
    [
      ['x', '', ''],
      ['', '', 'y'],
      ['x', '', '', 'y']
    ]
  ])('%j and %j', (asked, came, all) => expect(joined(asked, came)).toEqual(all));
});
