/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import React from 'react';

import { ElsewhereList } from '../sections/elsewhere';
import { TestPanel } from './panel';
import { HOSTILE, tell } from './samples';
import { running } from './server';

const jupyter = running();
let panel: TestPanel;

beforeEach(() => {
  jupyter.asked.length = 0;
  jupyter.answer = (_, response) => response.end('{"text": "It is used."}');
  panel = new TestPanel(jupyter.settings.baseUrl);
  panel.owners.set('a', { kind: 'notebook', name: 'demo.ipynb' });
  render(panel.with(<ElsewhereList />));
});

function lines(): (string | null | undefined)[] {
  return screen.queryAllByRole('listitem').map(each => each.querySelector('bdi')?.textContent);
}

it('tells which notebook uses what, while it does', () => {
  expect(lines()).toEqual([]);
  panel.owners.set('c', { kind: 'console', name: '' });
  tell(panel, {
    elsewhere: [
      { kernel: 'a', url: 'https://e.test' },
      { kernel: 'b', url: 'local' },
      { kernel: 'c', url: 'local' },
      { kernel: 'd', url: '' }
    ]
  });
  expect(lines()).toEqual([
    '“demo.ipynb” uses https://e.test instead',
    'A notebook uses this computer instead',
    'A console uses this computer instead',
    'A notebook names a backend that cannot be used; its next remote cell tells why'
  ]);
  expect(screen.getByText(/“%rexec config url default” in the notebook/)).toBeTruthy();
  tell(panel, { elsewhere: [] });
  expect(lines()).toEqual([]);
  expect(screen.queryByText(/config url/)).toBeNull();
});

it('calls a notebook by its name once that is known, or another', () => {
  tell(panel, { elsewhere: [{ kernel: 'b', url: 'local' }] });
  panel.owners.set('b', { kind: 'notebook', name: HOSTILE });
  act(() => panel.notebooks.ownersChanged.emit());
  expect(lines()).toEqual([`“${HOSTILE}” uses this computer instead`]);
});

it('reads out a notebook that begins to use another', () => {
  tell(panel, { elsewhere: [] });
  tell(panel, { elsewhere: [{ kernel: 'a', url: 'local' }] });
  const said = screen.getByRole('status');
  expect(said.textContent).toBe('“demo.ipynb” uses this computer instead');
});

it('uses that backend too, and says for whom', async () => {
  tell(panel, { elsewhere: [{ kernel: 'a', url: 'https://e.test' }] });
  const button = screen.getByRole('button');
  expect(button.textContent).toBe('Show it here');
  expect(button.title).toContain('https://e.test from now on, here and in notebooks without');
  fireEvent.click(button);
  await waitFor(() => expect(panel.said).toEqual([['success', 'It is used.']]));
  expect(jupyter.asked).toEqual([['POST', 'rexec/api/connection', '{"url":"https://e.test"}']]);
});

it('offers nothing where there is nothing to use, or it may not be changed', () => {
  tell(panel, { elsewhere: [{ kernel: 'a', url: '' }] });
  expect(screen.queryByRole('button')).toBeNull();
  tell(panel, { elsewhere: [{ kernel: 'a', url: 'local' }] });
  expect(screen.getByRole('button')).toBeTruthy();
  act(() => panel.store.restrict('server', true));
  expect(screen.queryByRole('button')).toBeNull();
});
