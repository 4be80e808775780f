/** @jest-environment-options {"customExportConditions": ["node"]} */
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import React from 'react';

import type { IConnection } from '../messages';
import { ConnectionSection } from '../sections/connection';
import { TestPanel } from './panel';
import { HOSTILE, connection, describing, tell } from './samples';
import { running } from './server';

const jupyter = running();
let panel: TestPanel;

beforeEach(() => {
  jupyter.asked.length = 0;
  jupyter.answer = (_, response) => response.end('{"text": ""}');
  panel = new TestPanel(jupyter.settings.baseUrl);
});

function shown(about: Partial<IConnection>): void {
  render(panel.with(<ConnectionSection />));
  tell(panel, { connection: connection(about) });
}

function press(name: string): void {
  fireEvent.click(screen.getByRole('button', { name }));
}

function fill(label: string, value: string): void {
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
}

it.each<[IConnection['state'], string]>([
  ['stopped', 'Stopped'],
  ['login', 'Not logged in'],
  ['idle', 'No server'],
  ['connecting', 'Connecting'],
  ['connected', 'Connected'],
  ['reconnecting', 'Connecting again'],
  ['failed', 'Failed']
])('tells in words that it is %s', (state, words) => {
  shown({ state, hint: 'Do this.', code: 'R07' });
  const told = screen.getAllByRole('status')[0].textContent;
  expect(told).toContain(words);
  expect(told).toContain('Do this.');
  expect(told).toContain('R07');
});

it('tells how long the embedded backend runs, and leads to its pages', () => {
  shown({
    ...{ backend: 'embedded', kept: false, programs: 2 },
    pages: { 'Catalog API': 'http://127.0.0.1:9/docs', Bad: 'javascript:alert(1)' }
  });
  expect(screen.getByText('while it is used; 2 programs use it')).toBeTruthy();
  const links = screen.getAllByRole('link');
  expect(links.map(link => link.getAttribute('href'))).toEqual(['http://127.0.0.1:9/docs']);
  tell(panel, { connection: connection({ backend: 'embedded', kept: true, programs: 1 }) });
  expect(screen.getByText('until it is stopped; 1 program uses it')).toBeTruthy();
  expect(screen.queryByRole('button', { name: /Keep the backend/ })).toBeNull();
});

it('starts the embedded backend with the Python of the notebook', async () => {
  shown({ backend: 'embedded', url: '', state: 'stopped' });
  press('Start the backend of this computer');
  await waitFor(() => expect(jupyter.asked.length).toBe(1));
  expect(jupyter.asked).toEqual([['POST', 'rexec/api/embedded/start', '{"kernel":"second"}']]);
});

it('stops the embedded backend only when told what is lost', async () => {
  jupyter.answer = (_, response, body) => {
    if (body === '{"force":true}') {
      response.end('{"text": "It stops."}');
    } else {
      response.statusCode = 409;
      const losses = [`session ${HOSTILE}: 3 variables`];
      response.end(JSON.stringify({ message: 'Not yet.', hint: '', code: '', losses }));
    }
  };
  shown({ backend: 'embedded', url: '' });
  press('Stop the backend of this computer');
  expect(await screen.findByText(`session ${HOSTILE}: 3 variables`)).toBeTruthy();
  fireEvent.click(screen.getByText('Do it all the same'));
  await waitFor(() => expect(panel.said).toEqual([['success', 'It stops.']]));
  expect(jupyter.asked.map(([, , body]) => body)).toEqual(['{"force":false}', '{"force":true}']);
});

it('logs in with a token, which is not in the page afterwards', async () => {
  shown({ state: 'login', url: '', logins: [] });
  press('Log in to an endpoint');
  fill('Address', ' https://new.test ');
  expect(screen.getByLabelText('Token').getAttribute('type')).toBe('password');
  fill('Token', ' s3cret ');
  const token = screen.getByLabelText<HTMLInputElement>('Token');
  press('Log in');
  expect(token.value).toBe('');
  await waitFor(() => expect(screen.queryByRole('form')).toBeNull());
  expect(jupyter.asked).toEqual([
    ['POST', 'rexec/api/login', '{"url":"https://new.test","token":"s3cret"}']
  ]);
  expect(document.body.outerHTML).not.toContain('s3cret');
  expect(document.activeElement).toBe(
    screen.getByRole('button', { name: 'Log in to an endpoint' })
  );
});

it('logs in with name and password, and tells beside the form why that failed', async () => {
  jupyter.answer = (_, response) => {
    response.statusCode = 502;
    response.end('{"message": "It was refused.", "hint": "Try again.", "code": "R11"}');
  };
  shown({ state: 'login' });
  press('Log in to an endpoint');
  fireEvent.click(screen.getByLabelText('name and password'));
  fill('User name', 'ada');
  fill('Password', ' with blanks ');
  const password = screen.getByLabelText<HTMLInputElement>('Password');
  expect(password.autocomplete).toBe('current-password');
  expect(screen.getByLabelText<HTMLInputElement>('User name').autocomplete).toBe('username');
  press('Log in');
  await waitFor(() =>
    expect(screen.getByRole('alert').textContent).toBe('[R11] It was refused. Try again.')
  );
  expect(JSON.parse(jupyter.asked[0][2])).toEqual({
    url: 'https://e.test',
    username: 'ada',
    password: ' with blanks '
  });
  expect(password.value).toBe('');
  expect(panel.said).toEqual([]);
});

it('asks for what is missing, tied to where it is missing', () => {
  shown({ state: 'login', url: '' });
  press('Log in to an endpoint');
  press('Log in');
  const address = screen.getByLabelText('Address');
  expect(document.activeElement).toBe(address);
  expect(address.getAttribute('aria-invalid')).toBe('true');
  expect(describing(address)).toEqual(['Give the address of the endpoint.']);
  expect(jupyter.asked).toEqual([]);
});

it('opens the form for an address when the user is led there', () => {
  shown({ backend: 'embedded', url: '' });
  act(() => panel.reveal.emit({ section: 'connection', subject: 'https://there.test' }));
  const address = screen.getByLabelText<HTMLInputElement>('Address');
  expect(address.value).toBe('https://there.test');
  expect(document.activeElement).toBe(address);
});

it('uses another backend, and logs out', async () => {
  shown({ logins: ['https://e.test', 'https://f.test'] });
  press('Use this computer from now on, here and in notebooks');
  press('Use https://f.test from now on, here and in notebooks');
  press('Log out of https://f.test');
  await waitFor(() => expect(jupyter.asked.length).toBe(3));
  // In whichever order they arrived.
  expect(jupyter.asked.map(([, path, body]) => [path, body]).sort()).toEqual([
    ['rexec/api/connection', '{"url":"https://f.test"}'],
    ['rexec/api/connection', '{"url":"local"}'],
    ['rexec/api/logout', '{"url":"https://f.test"}']
  ]);
});

it('offers nothing that may not be changed', () => {
  panel.store.restrict('settings', true);
  shown({ logins: ['https://e.test', 'https://f.test'] });
  act(() => panel.reveal.emit({ section: 'connection', subject: 'login' }));
  expect(screen.getAllByRole('button').length).toBe(1); // that of the section
});
