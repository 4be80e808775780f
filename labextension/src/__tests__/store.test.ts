import type { IJob } from '../messages';
import { NOTHING, Store, updated } from '../store';

function job(id: string, submitted: number, open = false): IJob {
  return {
    ...{ id, submitted, open, name: '', session: 'default', kind: 'cell', state: 'done' },
    ...{ started: submitted, ended: open ? 0 : submitted + 1, line: '', percent: -1 }
  };
}

describe('what is known', () => {
  it('keeps what news do not speak of the same object', () => {
    const before = updated(NOTHING, { type: 'news', now: 1, sessions: [], jobs: [] }, 0);
    const after = updated(before, { type: 'news', now: 2, alerts: [] }, 0);
    expect(after.sessions).toBe(before.sessions);
    expect(after.jobs).toBe(before.jobs);
    expect(after.usage).toBe(before.usage);
    expect(after.told).toBe(true);
  });

  it('lists open jobs first, then the newest first', () => {
    const jobs = [job('a', 1), job('b', 3), job('c', 2, true)];
    const known = updated(NOTHING, { type: 'news', now: 9, jobs }, 0);
    expect(known.jobs.map(each => each.id)).toEqual(['c', 'b', 'a']);
  });

  it('changes, adds and takes away jobs by their ids', () => {
    let known = updated(
      NOTHING,
      { type: 'news', now: 1, jobs: [job('a', 1, true), job('b', 2)] },
      0
    );
    known = updated(
      known,
      { type: 'news', now: 2, jobs: [job('a', 1), job('c', 3)], gone: ['b'] },
      0
    );
    expect(known.jobs.map(each => [each.id, each.open])).toEqual([
      ['c', false],
      ['a', false]
    ]);
    known = updated(known, { type: 'news', now: 3, jobs: [job('d', 4)], all_jobs: true }, 0);
    expect(known.jobs.map(each => each.id)).toEqual(['d']);
  });

  it('is restricted while anybody restricts it', () => {
    const store = new Store();
    store.restrict('server', true);
    store.restrict('settings', true);
    store.restrict('server', false);
    expect(store.known.readOnly).toBe(true);
    store.restrict('settings', false);
    expect(store.known.readOnly).toBe(false);
  });
});
