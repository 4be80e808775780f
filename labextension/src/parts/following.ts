import { useEffect, useRef, useState } from 'react';

import { ProblemError } from '../api';
import { usePanel } from '../context';
import type { ILog } from '../messages';
import { Terminal, type IBlock } from './terminal';
import { told } from './trouble';

/** Lines that a log begins with. */
const TAIL = 500;
/** Seconds that the server waits for more. */
const WAIT = 20;
/** Milliseconds between questions, however much there is. */
const GAP = 250;
/** Milliseconds until a job that waits is asked for its log again. */
const UNBEGUN = 2_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** Bytes by which a log may be ahead of what is shown; of more, only the end is shown. */
const BEHIND = 2_000_000;

export interface IFollowed {
  readonly blocks: readonly IBlock[];
  /** Bytes, nearly, before the first line. */
  readonly before: number;
  /** `unbegun`: it has no log yet; `unknown`: there is none any more. */
  readonly state: 'reading' | 'following' | 'ended' | 'unbegun' | 'unknown';
  /** How the job stands, if its log tells. */
  readonly job: string;
  /** What went wrong; it is tried again. */
  readonly trouble: string;
}

const NOTHING: IFollowed = { blocks: [], before: 0, state: 'reading', job: '', trouble: '' };

/** Follow a job's log until it ends, or while it is not paused. */
export function useFollowed(id: string, paused: boolean): IFollowed & { text: () => string } {
  const { api, store } = usePanel();
  const [followed, setFollowed] = useState(NOTHING);
  const place = useRef({ terminal: new Terminal(), skipped: 0, next: -1 });

  useEffect(() => {
    if (paused) {
      return;
    }
    const leaving = new AbortController();
    const { signal } = leaving;
    const put = (what: Partial<IFollowed>): void => {
      if (!signal.aborted) {
        setFollowed(old => ({ ...old, ...what }));
      }
    };

    /** Take an answer; return how long to wait for the next, or null if there is none. */
    const take = (log: ILog): number | null => {
      const at = place.current;
      const open = store.known.jobs.some(job => job.id === id && job.open);
      if (!log.known) {
        put({ state: open ? 'unbegun' : 'unknown', trouble: '' });
        return open ? UNBEGUN : null;
      }
      if (at.next < 0) {
        place.current = { terminal: new Terminal(), skipped: log.skipped, next: log.next };
        place.current.terminal.take(log.pieces);
      } else {
        at.skipped += log.skipped;
        at.next = log.next;
        at.terminal.take(log.pieces);
      }
      const { terminal, skipped } = place.current;
      put({
        blocks: terminal.blocks,
        before: skipped + terminal.dropped,
        state: log.ended ? 'ended' : 'following',
        job: log.state,
        trouble: ''
      });
      if (log.ended) {
        return null;
      }
      if (log.size - log.next > BEHIND) {
        place.current = { ...place.current, next: -1 };
      }
      return GAP;
    };

    const follow = async (): Promise<void> => {
      let pause = FIRST_PAUSE;
      for (;;) {
        let wait: number | null;
        try {
          const { next } = place.current;
          const log = await (next < 0
            ? api.lastOfLog(id, TAIL, signal)
            : api.moreOfLog(id, next, WAIT, signal));
          wait = signal.aborted ? null : take(log);
          pause = FIRST_PAUSE;
        } catch (error) {
          if (signal.aborted) {
            return;
          }
          if (error instanceof ProblemError && error.status === 404) {
            put({ state: 'unknown', trouble: told(error) });
            return;
          }
          put({ trouble: told(error) });
          wait = pause;
          pause = Math.min(2 * pause, LONGEST_PAUSE);
        }
        if (wait === null || !(await passed(wait, signal))) {
          return;
        }
      }
    };

    void follow();
    return () => leaving.abort();
  }, [api, store, id, paused]);

  return { ...followed, text: () => place.current.terminal.text };
}

/** Wait; return whether the wait was not given up. */
function passed(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const leave = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', leave);
      resolve(true);
    }, milliseconds);
    signal.addEventListener('abort', leave, { once: true });
  });
}
