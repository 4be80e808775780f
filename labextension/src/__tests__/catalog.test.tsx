/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import type { ServerResponse } from 'http';
import React from 'react';

import type { IConnection, IDataset, IFound } from '../messages';
import { Catalog } from '../sections/catalog';
import { clipboard } from './clipboard';
import { TestPanel } from './panel';
import { json, running } from './server';

const server = running();
let panel: TestPanel;

beforeEach(() => {
  localStorage.setItem('rexec-panel:closed', '{"catalog": false}');
  server.asked.length = 0;
  panel = new TestPanel(server.settings.baseUrl);
  render(panel.with(<Catalog />));
  connect({ backend: 'endpoint', url: 'https://one' });
});

function connect(about: Partial<IConnection>): void {
  const connection: IConnection = {
    ...{ backend: 'embedded', url: '', state: 'connected', text: '', hint: '', code: '' },
    ...{ user: '', logins: [], kept: false, programs: 0, pages: {} },
    ...about
  };
  act(() => panel.store.take({ type: 'news', now: 1, connection }));
}

function dataset(name: string, more: Partial<IDataset> = {}): IDataset {
  return { name, title: `Title of ${name}`, notes: '', organization: '', resources: [], ...more };
}

function found(datasets: IDataset[], more: Partial<IFound> = {}): IFound {
  return { datasets, total: datasets.length, more: false, ...more };
}

function search(text: string): void {
  fireEvent.change(screen.getByRole('searchbox'), { target: { value: text } });
  fireEvent.submit(screen.getByRole('search'));
}

function said(): string {
  return screen.getByRole('status').textContent ?? '';
}

it('shows what was found, as text', async () => {
  const notes = `<b>Bold</b>\n\n${'word '.repeat(100)}`;
  const resources = [{ name: 'a.csv', format: 'CSV', url: '', size: 3_400_000, code: 'load("a")' }];
  server.answer = (_, response) =>
    json(response, found([dataset('ice', { notes, organization: 'Institute', resources })]));
  search('  sea ice ');
  await waitFor(() => expect(said()).toBe('1 dataset'));
  expect(server.asked[0][1]).toBe('rexec/api/catalog?q=sea+ice&offset=0&limit=20');
  const [item] = screen.getAllByRole('listitem');
  expect(item.textContent).toContain('Title of ice');
  expect(item.textContent).toContain('Institute');
  expect(item.textContent).toContain('<b>Bold</b> word');
  expect(item.querySelector('p')?.textContent?.length).toBeLessThan(250);
  expect(item.textContent).toContain('a.csv CSV, 3.4 MB');
});

it('inserts code, or says that it copied it', async () => {
  const copied = clipboard();
  const resources = [{ name: 'a.csv', format: '', url: '', size: 0, code: 'load("a")' }];
  server.answer = (_, response) => json(response, found([dataset('ice', { resources })]));
  search('ice');
  const button = await screen.findByRole('button', { name: /loads a.csv of Title of ice/ });
  fireEvent.click(button);
  expect(panel.inserted).toEqual(['load("a")']);
  panel.notebooks.insert = () => false;
  fireEvent.click(button);
  expect(copied).toEqual(['load("a")']);
  expect(panel.said).toHaveLength(1);
});

it('has more pages', async () => {
  server.answer = ({ url }, response) =>
    json(
      response,
      url?.includes('offset=0')
        ? found([dataset('a'), dataset('b')], { total: 3, more: true })
        : found([dataset('c')], { total: 3 })
    );
  search('');
  await waitFor(() => expect(said()).toBe('2 of 3 datasets'));
  fireEvent.click(screen.getByRole('button', { name: 'Show more' }));
  await waitFor(() => expect(said()).toBe('3 datasets'));
  expect(screen.getAllByRole('listitem')).toHaveLength(3);
  expect(server.asked[1][1]).toBe('rexec/api/catalog?q=&offset=2&limit=20');
  expect(document.activeElement?.textContent).toContain('Title of b');
  expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull();
});

it('gives up an earlier search', async () => {
  let first: ServerResponse | undefined;
  server.answer = (_, response) => (first = response);
  search('one');
  await waitFor(() => expect(first).toBeTruthy());
  const closed = new Promise(resolve => first?.on('close', resolve));
  server.answer = (_, response) => json(response, found([dataset('two')]));
  search('two');
  await closed;
  await waitFor(() => expect(said()).toBe('1 dataset'));
  expect(screen.getAllByRole('listitem')).toHaveLength(1);
  expect(screen.queryByRole('alert')).toBeNull();
});

it('says what went wrong and what to do', async () => {
  const problem = { message: 'It does not answer.', hint: 'Wait.', code: 'R31', losses: [] };
  server.answer = (_, response) => json(response, problem, 502);
  search('ice');
  const alert = await screen.findByRole('alert');
  expect(alert.textContent).toBe('[R31] It does not answer. Wait.');
  server.answer = (_, response) => json(response, found([]));
  search('ice');
  await waitFor(() =>
    expect(said()).toBe('Nothing was found for “ice”. Try fewer or other words.')
  );
  expect(screen.queryByRole('alert')).toBeNull();
});

it('leads to what there must be before there is a catalog', () => {
  const places: unknown[] = [];
  panel.reveal.connect((_, place) => places.push(place));
  connect({ state: 'stopped' });
  fireEvent.click(screen.getByRole('button', { name: 'To the backend' }));
  connect({ backend: 'endpoint', url: 'https://one', state: 'login' });
  fireEvent.click(screen.getByRole('button', { name: 'Log in…' }));
  expect(places).toEqual([{ section: 'connection' }, { section: 'connection', subject: 'login' }]);
});

it('is there for the backend of this computer as well', async () => {
  connect({});
  server.answer = (_, response) => json(response, found([dataset('ice')]));
  search('ice');
  await waitFor(() => expect(screen.getAllByRole('listitem')).toHaveLength(1));
});

it('forgets what another endpoint had', async () => {
  server.answer = (_, response) => json(response, found([dataset('ice')]));
  search('ice');
  await waitFor(() => expect(screen.getAllByRole('listitem')).toHaveLength(1));
  connect({ backend: 'endpoint', url: 'https://two' });
  expect(screen.queryByRole('listitem')).toBeNull();
  expect(within(screen.getByRole('search')).getByRole('searchbox')).toBeTruthy();
});
