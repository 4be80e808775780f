/** @jest-environment-options {"customExportConditions": ["node"]} */
import { Api, ProblemError } from '../api';
import { json, TestServer } from './server';

const server = new TestServer();
let api: Api;

beforeAll(async () => {
  await server.start();
  api = new Api(server.settings);
});
afterAll(() => server.stop());
beforeEach(() => {
  server.asked.length = 0;
});

async function refused(asking: Promise<unknown>): Promise<ProblemError> {
  const error = await asking.then(
    () => null,
    (why: unknown) => why
  );
  expect(error).toBeInstanceOf(ProblemError);
  return error as ProblemError;
}

it('asks what the routes say', async () => {
  server.answer = (_, response) => json(response, { text: 'done' });
  await api.startServer({ name: 'train', requirements: ['numpy'] });
  await api.stopServer('train', true);
  await api.lastOfLog('j1', 500);
  await api.search('sea & ice', 'global', 20, 20);
  expect(server.asked).toEqual([
    ['POST', 'rexec/api/servers', '{"name":"train","requirements":["numpy"]}'],
    ['DELETE', 'rexec/api/servers/train', '{"force":true}'],
    ['GET', 'rexec/api/jobs/j1/log?tail=500', ''],
    ['GET', 'rexec/api/catalog?q=sea+%26+ice&in=global&offset=20&limit=20', '']
  ]);
});

it.each(['a/b', '100 %', 'ä', '<b>x</b>', 'a?b#c', '..x', 'שלום'])(
  'sends the name %s as one part of the address',
  async name => {
    server.answer = (_, response) => json(response, { text: '' });
    await api.restartSession(name, false);
    const [[, path]] = server.asked;
    const parts = path.split('?')[0].split('/');
    expect(parts).toHaveLength(5);
    expect(decodeURIComponent(parts[3])).toBe(name);
  }
);

it('fails with the problem that it was told', async () => {
  const problem = { message: 'It is busy.', hint: 'Wait.', code: 'R12', losses: ['x = 1'] };
  server.answer = (_, response) => json(response, problem, 409);
  const error = await refused(api.stopSession('default', false));
  expect(error).toMatchObject({ ...problem, status: 409 });
});

it.each([
  [502, '<html>Bad gateway</html>', /answered 502 Bad Gateway/],
  [404, '<html>Not found</html>', /no rexec extension/],
  [403, '', /answered 403/],
  [200, '<html>Log in</html>', /answered 200/],
  [500, '{"traceback": ["…"]}', /answered 500/]
])('says what is so when the answer is %i and not one of rexec', async (status, body, message) => {
  server.answer = (_, response) => response.writeHead(status).end(body);
  const error = await refused(api.profiles());
  expect(error.status).toBe(status);
  expect(error.message).toMatch(message);
  expect(error.hint).not.toBe('');
});

it('says that nobody is there, and when an answer breaks off', async () => {
  const other = new TestServer();
  await other.start();
  const settings = other.settings;
  await other.stop();
  expect((await refused(new Api(settings).profiles())).message).toMatch(/cannot be reached/);
  server.answer = (_, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('{"profiles"', () => response.destroy());
  };
  const broken = await refused(api.profiles());
  expect(broken.status).toBe(0);
  expect(broken.message).toMatch(/cannot be reached/);
});

it('says when nobody answered in time', async () => {
  const timeout = jest.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
    const late = new AbortController();
    setTimeout(() => late.abort(), 50);
    return late.signal;
  });
  server.answer = () => undefined;
  const error = await refused(api.profiles());
  expect(timeout).toHaveBeenCalledWith(30_000);
  timeout.mockRestore();
  expect(error.message).toMatch(/did not answer within 30 s/);
});

it.each(['before', 'within'])('is given up %s the answer without a problem', async when => {
  const leaving = new AbortController();
  server.answer = (_, response) => {
    if (when === 'within') {
      response.writeHead(200);
      response.write('{"pieces"');
    }
    setTimeout(() => leaving.abort(), 20);
  };
  const error = await api.moreOfLog('j1', 0, 20, leaving.signal).catch((why: unknown) => why);
  expect(leaving.signal.aborted).toBe(true);
  expect(error).not.toBeInstanceOf(ProblemError);
});
