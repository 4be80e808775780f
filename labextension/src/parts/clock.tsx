import React, {
  createContext,
  useContext,
  useEffect,
  useState,
  useSyncExternalStore,
  type RefObject
} from 'react';

import { usePanel } from '../context';
import { elapsed } from '../format';

/** Ticks once a second for all who listen, while the page can be seen. */
class Clock {
  subscribe = (hear: () => void): (() => void) => {
    this._hearing.add(hear);
    if (this._hearing.size === 1) {
      document.addEventListener('visibilitychange', this._start);
      this._start();
    }
    return () => {
      this._hearing.delete(hear);
      if (!this._hearing.size) {
        document.removeEventListener('visibilitychange', this._start);
        clearTimeout(this._next);
      }
    };
  };

  ticks = (): number => this._ticks;

  private _start = (): void => {
    clearTimeout(this._next);
    if (document.visibilityState !== 'hidden') {
      this._tick();
    }
  };

  private _tick = (): void => {
    this._ticks += 1;
    this._hearing.forEach(hear => hear());
    this._next = setTimeout(this._tick, 1000 - (Date.now() % 1000));
  };

  private _hearing = new Set<() => void>();
  private _next: ReturnType<typeof setTimeout> | undefined;
  private _ticks = 0;
}

const clock = new Clock();
const never = (): (() => void) => () => undefined;

/** Return now in seconds by the Jupyter server's clock; anew after so many seconds. */
export function useNow(step = 1): number {
  const { store } = usePanel();
  const seen = useContext(Seen);
  useSyncExternalStore(seen ? clock.subscribe : never, () => Math.floor(clock.ticks() / step));
  return store.now();
}

/** Whether what is inside can be seen; what cannot stands still. */
export const Seen = createContext(true);

/** How long something has gone on by now, second by second. Nothing reads that out. */
export function Elapsed(props: { since: number }): React.JSX.Element {
  return <>{elapsed(useNow() - props.since)}</>;
}

/** Whether an element can be seen, as far as the browser tells. */
export function useSeen(element: RefObject<Element>): boolean {
  const [seen, setSeen] = useState(true);
  useEffect(() => {
    if (!element.current) {
      return;
    }
    const observer = new IntersectionObserver(entries =>
      setSeen(entries[entries.length - 1].isIntersecting)
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return seen;
}
