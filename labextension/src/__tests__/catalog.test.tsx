/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import type { IncomingMessage, ServerResponse } from 'http';
import React from 'react';

import type { ICatalogs, IConnection, IDataset, IFound } from '../messages';
import { Catalog } from '../sections/catalog';
import { clipboard } from './clipboard';
import { TestPanel } from './panel';
import { json, running } from './server';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const server = running();
let panel: TestPanel;
/** The catalogs that the endpoint tells of; null if it cannot. */
let names: ICatalogs['names'] | null;

beforeEach(() => {
  localStorage.setItem('rexec-panel:closed', '{"catalog": false}');
  server.asked.length = 0;
  names = ['local'];
  answer((_, response) => json(response, found([])));
  panel = new TestPanel(server.settings.baseUrl);
  render(panel.with(<Catalog />));
  connect({ backend: 'endpoint', url: 'https://one' });
});

/** Answer searches; which catalogs there are is answered by itself. */
function answer(search: Answer): void {
  server.answer = (request, response) => {
    if (!request.url?.includes('/catalogs')) {
      search(request, response);
    } else if (names) {
      json(response, { names });
    } else {
      json(response, { message: 'No.', hint: '', code: '', losses: [] }, 502);
    }
  };
}

/** What was searched for. */
function searched(): string[] {
  return server.asked.map(([, path]) => path).filter(path => path.includes('/catalog?'));
}

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
  answer((_, response) =>
    json(response, found([dataset('ice', { notes, organization: 'Institute', resources })]))
  );
  search('  sea ice ');
  await waitFor(() => expect(said()).toBe('1 dataset'));
  expect(searched()).toEqual(['rexec/api/catalog?q=sea+ice&in=local&offset=0&limit=20']);
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
  answer((_, response) => json(response, found([dataset('ice', { resources })])));
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
  answer(({ url }, response) =>
    json(
      response,
      url?.includes('offset=0')
        ? found([dataset('a'), dataset('b')], { total: 3, more: true })
        : found([dataset('c')], { total: 3 })
    )
  );
  search('');
  await waitFor(() => expect(said()).toBe('2 of 3 datasets'));
  fireEvent.click(screen.getByRole('button', { name: 'Show more' }));
  await waitFor(() => expect(said()).toBe('3 datasets'));
  expect(screen.getAllByRole('listitem')).toHaveLength(3);
  expect(searched()[1]).toBe('rexec/api/catalog?q=&in=local&offset=2&limit=20');
  expect(document.activeElement?.textContent).toContain('Title of b');
  expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull();
});

it('gives up an earlier search', async () => {
  let first: ServerResponse | undefined;
  answer((_, response) => (first = response));
  search('one');
  await waitFor(() => expect(first).toBeTruthy());
  const closed = new Promise(resolve => first?.on('close', resolve));
  answer((_, response) => json(response, found([dataset('two')])));
  search('two');
  await closed;
  await waitFor(() => expect(said()).toBe('1 dataset'));
  expect(screen.getAllByRole('listitem')).toHaveLength(1);
  expect(screen.queryByRole('alert')).toBeNull();
});

it('says what went wrong and what to do', async () => {
  const problem = { message: 'It does not answer.', hint: 'Wait.', code: 'R31', losses: [] };
  answer((_, response) => json(response, problem, 502));
  search('ice');
  const alert = await screen.findByRole('alert');
  expect(alert.textContent).toBe('[R31] It does not answer. Wait.');
  answer((_, response) => json(response, found([])));
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
  answer((_, response) => json(response, found([dataset('ice')])));
  search('ice');
  await waitFor(() => expect(screen.getAllByRole('listitem')).toHaveLength(1));
});

it('forgets what another endpoint had', async () => {
  answer((_, response) => json(response, found([dataset('ice')])));
  search('ice');
  await waitFor(() => expect(screen.getAllByRole('listitem')).toHaveLength(1));
  connect({ backend: 'endpoint', url: 'https://two' });
  expect(screen.queryByRole('listitem')).toBeNull();
  expect(within(screen.getByRole('search')).getByRole('searchbox')).toBeTruthy();
});

describe('with several catalogs', () => {
  beforeEach(async () => {
    names = ['local', 'global', 'pre_ckan'];
    connect({ backend: 'endpoint', url: 'https://three' });
    await screen.findByRole('combobox', { name: 'Which catalog' });
  });

  const late = { backend: 'endpoint', url: 'https://late' } as const;
  const select = (): HTMLSelectElement => screen.getByRole('combobox', { name: 'Which catalog' });
  const choose = (value: string): void => {
    fireEvent.change(select(), { target: { value } });
  };

  it('offers those that there are, its own first', async () => {
    const offered = [...select().options].map(({ value, text }) => [value, text]);
    expect(offered).toEqual([
      ['local', 'This endpoint'],
      ['global', 'Global catalog'],
      ['pre_ckan', 'To be published']
    ]);
    expect(select().value).toBe('local');
    choose('global');
    expect(searched()).toEqual([]); // nobody has asked for anything yet
    search('ice');
    expect(select().value).toBe('global');
    await waitFor(() => expect(said()).toContain('Nothing was found'));
    expect(searched()).toEqual(['rexec/api/catalog?q=ice&in=global&offset=0&limit=20']);
  });

  it('shows of a catalog only what was found there', async () => {
    const held: ServerResponse[] = [];
    answer(({ url }, response) => {
      if (url?.includes('in=local')) {
        json(response, found([dataset('a'), dataset('b')], { total: -1, more: true }));
      } else {
        held.push(response);
      }
    });
    search('ice');
    await waitFor(() => expect(said()).toBe('The first 2 datasets'));
    choose('global');
    expect(said()).toBe('Searching…');
    expect(screen.queryByRole('listitem')).toBeNull();
    expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull();
    await waitFor(() => expect(held).toHaveLength(1));
    expect(searched()[1]).toBe('rexec/api/catalog?q=ice&in=global&offset=0&limit=20');
    json(held[0], found([dataset('c')]));
    await waitFor(() => expect(said()).toBe('1 dataset'));
  });

  it('says plainly that a catalog is refused', async () => {
    const problem = { message: 'It is off.', hint: 'Choose another.', code: '', losses: [] };
    answer(({ url }, response) =>
      url?.includes('in=pre_ckan')
        ? json(response, problem, 409)
        : json(response, found([dataset('a')]))
    );
    choose('pre_ckan');
    search('ice');
    expect((await screen.findByRole('alert')).textContent).toBe('It is off. Choose another.');
    choose('local');
    await waitFor(() => expect(said()).toBe('1 dataset'));
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('begins with its own at another endpoint', async () => {
    choose('global');
    names = ['local', 'global'];
    connect({ backend: 'endpoint', url: 'https://two' });
    await waitFor(() => expect(select().options).toHaveLength(2));
    expect(select().value).toBe('local');
    connect({ backend: 'embedded', url: '' });
    expect(screen.queryByRole('combobox')).toBeNull();
  });

  it('searches the one that there is where there is no own one', async () => {
    names = ['global'];
    server.asked.length = 0;
    connect({ backend: 'endpoint', url: 'https://one' });
    await waitFor(() => expect(screen.queryByRole('combobox')).toBeNull());
    await waitFor(() => expect(server.asked).toHaveLength(1));
    // The answer may still be on its way, and nothing shows when it is known.
    await waitFor(() => {
      search('ice');
      expect(searched().at(-1)).toContain('in=global');
    });
    await waitFor(() => expect(said()).toContain('Nothing was found'));
  });

  it('does without where that cannot be told', async () => {
    names = null;
    connect({ backend: 'endpoint', url: 'https://mute' });
    await waitFor(() => expect(screen.queryByRole('combobox')).toBeNull());
    search('ice');
    await waitFor(() => expect(searched()[0]).toContain('in=local'));
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it.each([
    ['things stand otherwise', () => connect({ ...late, state: 'connected' })],
    ['something is searched', () => search('ice')]
  ])('asks again for what could not be told when %s', async (_, happens) => {
    names = null;
    server.asked.length = 0;
    connect({ ...late, state: 'connecting' });
    await waitFor(() => expect(screen.queryByRole('combobox')).toBeNull());
    await waitFor(() => expect(server.asked).toHaveLength(1));
    names = ['local', 'global'];
    happens();
    expect(await screen.findAllByRole('option')).toHaveLength(2);
  });
});

it('shows each dataset once, and ends where nothing is new', async () => {
  answer((_, response) => json(response, found([dataset('a'), dataset('b')], { more: true })));
  search('');
  await waitFor(() => expect(said()).toBe('The first 2 datasets'));
  fireEvent.click(screen.getByRole('button', { name: 'Show more' }));
  await waitFor(() => expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull());
  expect(screen.getAllByRole('listitem')).toHaveLength(2);
});
