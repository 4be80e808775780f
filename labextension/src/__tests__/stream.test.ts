/** @jest-environment-options {"customExportConditions": ["node"]} */
import { waitFor } from '@testing-library/dom';

import { PROTOCOL } from '../messages';
import { Store, type Contact } from '../store';
import { Stream } from '../stream';
import { json, TestServer } from './server';

let server: TestServer;
let store: Store;
let stream: Stream;
let contacts: Contact[];

function hello(more: object = {}): object {
  return { type: 'hello', protocol: PROTOCOL, version: '1.2', now: Date.now() / 1000, ...more };
}

beforeEach(async () => {
  server = new TestServer();
  server.greeting = [hello(), { type: 'news', now: Date.now() / 1000, sessions: [] }];
  server.answer = (_, response) => json(response, {});
  await server.start();
  store = new Store();
  contacts = [];
  store.changed.connect((_, { contact }) => {
    if (contact !== (contacts[contacts.length - 1] ?? 'connecting')) {
      contacts.push(contact);
    }
  });
});

afterEach(async () => {
  stream.dispose();
  await server.stop();
});

function connected(): Promise<void> {
  stream = new Stream(store, server.settings);
  return waitFor(() => expect(server.followers).toHaveLength(1));
}

it('tells the store what it is told', async () => {
  server.greeting = [
    hello({ now: Date.now() / 1000 + 100, read_only: true }),
    { type: 'news', now: Date.now() / 1000 + 100, sessions: [], jobs: [], all_jobs: true }
  ];
  await connected();
  await waitFor(() => expect(store.known.told).toBe(true));
  expect(store.known).toMatchObject({ contact: 'live', version: '1.2', readOnly: true });
  expect(store.now() - Date.now() / 1000).toBeCloseTo(100, 0);
  server.followers[0].send(JSON.stringify({ type: 'beat', now: Date.now() / 1000 - 50 }));
  await waitFor(() => expect(store.now() - Date.now() / 1000).toBeCloseTo(-50, 0));
  expect(store.known.sessions).toEqual([]);
});

it('comes back after the server has gone and come', async () => {
  await connected();
  await waitFor(() => expect(store.known.contact).toBe('live'));
  const port = Number(new URL(server.settings.baseUrl).port);
  await server.stop();
  await waitFor(() => expect(store.known.contact).toBe('lost'));
  server = new TestServer();
  server.greeting = [hello({ version: '1.3' })];
  await server.start(port);
  await waitFor(() => expect(store.known.contact).toBe('live'));
  expect(store.known.version).toBe('1.3');
  expect(contacts).toEqual(['live', 'lost', 'live']);
});

it('waits longer each time that it fails, and not when it is told to try', async () => {
  server.greeting = [hello()];
  const times: number[] = [];
  stream = new Stream(store, server.settings);
  for (let count = 1; count <= 3; count++) {
    await waitFor(() => expect(server.followed).toBe(count), { interval: 5 });
    await waitFor(() => expect(server.followers).toHaveLength(1), { interval: 5 });
    times.push(Date.now());
    server.followers[0].close();
    await waitFor(() => expect(server.followers).toHaveLength(0));
  }
  // 0.5 s and 1 s, each give or take a quarter
  expect(times[1] - times[0]).toBeGreaterThan(370);
  expect(times[2] - times[1]).toBeGreaterThan(740);
  const before = Date.now();
  stream.retry();
  await waitFor(() => expect(server.followed).toBe(4), { interval: 5 });
  // By itself it would have waited for 2 s.
  expect(Date.now() - before).toBeLessThan(1200);
});

it('does not say that what came back meanwhile is lost', async () => {
  await connected();
  await waitFor(() => expect(store.known.told).toBe(true));
  let answer = (): void => undefined;
  server.answer = (_, response) => {
    answer = () => json(response, {}, 502);
  };
  server.followers[0].close();
  await waitFor(() => expect(server.asked).toHaveLength(1));
  window.dispatchEvent(new Event('online'));
  await waitFor(() => expect(server.followed).toBe(2));
  await waitFor(() => expect(server.followers).toHaveLength(1));
  answer();
  // A word on the new connection comes after whatever the answer brought.
  await new Promise(resolve => setTimeout(resolve, 100));
  expect(contacts).toEqual(['live']);
});

it.each([
  [404, 'missing'],
  [403, 'refused'],
  [401, 'refused'],
  [502, 'lost']
])('finds out why it was refused: %i is %s', async (status, contact) => {
  server.greeting = null;
  server.answer = (_, response) => json(response, {}, status);
  stream = new Stream(store, server.settings);
  await waitFor(() => expect(store.known.contact).toBe(contact));
  expect(server.asked[0][1]).toBe('rexec/api/state');
});

it('says that the page is of another version, and goes on saying it', async () => {
  server.greeting = [hello({ protocol: PROTOCOL + 1 })];
  await connected();
  await waitFor(() => expect(store.known.contact).toBe('other-version'));
  server.followers[0].close();
  await waitFor(() => expect(server.followed).toBe(2));
  expect(contacts).toEqual(['other-version']);
});

it('asks for nothing any more once it is over', async () => {
  await connected();
  stream.dispose();
  await waitFor(() => expect(server.followers).toHaveLength(0));
  window.dispatchEvent(new Event('online'));
  document.dispatchEvent(new Event('visibilitychange'));
  await new Promise(resolve => setTimeout(resolve, 50));
  expect(server.followed).toBe(1);
});
