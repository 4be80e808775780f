import React, {
  forwardRef,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactNode,
  type Ref
} from 'react';

/** Rows beyond what can be seen, on each side. */
const BEYOND = 6;
/** Pixels, until they are measured. */
const UNMEASURED = { row: 48, view: 400 };

/** What can be asked of a list. */
export interface IVirtualList {
  /** Give the focus to the row with this key, if it is there. */
  focus(key: string): void;
}

export interface IVirtualListProps<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  /** What the list is called. */
  label: string;
  /** What a row shows; its first button is what has the focus when the row has it. */
  children: (item: T) => ReactNode;
  /** What is shown if there are none. */
  empty: ReactNode;
}

/**
 * A list of which only the rows that can be seen are in the page. All rows have the height of
 * `.rexec-Virtual-probe`, which the style decides.
 *
 * One row takes part in the order of the Tab key; arrows, Home, End and the page keys go to
 * others. It keeps its place while rows come and go around it, and the focus stays in the list
 * when the row that had it goes.
 */
export const VirtualList = forwardRef(function VirtualList<T>(
  { items, keyOf, label, children, empty }: IVirtualListProps<T>,
  ref: Ref<IVirtualList>
): React.JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const probe = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState(UNMEASURED);
  const [first, setFirst] = useState(0);
  const [current, setCurrent] = useState({ key: '', index: 0 });
  /** Whether the focus is in the list, also if what had it has just gone. */
  const held = useRef(false);
  /** Whether the current row gets the focus once it is in the page. */
  const wanted = useRef(false);

  const found = items.findIndex(item => keyOf(item) === current.key);
  const at = found >= 0 ? found : Math.max(0, Math.min(current.index, items.length - 1));

  /** Where it is scrolled to; to ask the browser each time would have it lay out the page. */
  const top = useRef(0);
  const look = useCallback(() => {
    top.current = scroller.current?.scrollTop ?? 0;
    setFirst(Math.floor(top.current / size.row));
  }, [size.row]);

  const measure = useCallback(() => {
    const row = probe.current?.offsetHeight || UNMEASURED.row;
    const view = scroller.current?.clientHeight || UNMEASURED.view;
    setSize(old => (old.row === row && old.view === view ? old : { row, view }));
  }, []);

  useEffect(() => {
    const observer = new ResizeObserver(measure);
    [scroller.current, probe.current].forEach(each => each && observer.observe(each));
    return () => observer.disconnect();
  }, [measure]);
  useLayoutEffect(measure, [measure]);

  // What is looked at stays where it is: when rows come or go above it, and when heights change.
  const before = useRef({ items, row: size.row, keys: new Map<string, number>(), part: 0 });
  useLayoutEffect(() => {
    const box = scroller.current;
    const last = before.current;
    if (box && top.current > 0 && last.row !== size.row) {
      box.scrollTop = last.part * size.row;
      look();
    } else if (box && top.current > 0 && last.items !== items) {
      const moves: number[] = [];
      items.forEach((item, index) => {
        const was = last.keys.get(keyOf(item));
        if (was !== undefined) {
          moves.push(index - was);
        }
      });
      moves.sort((a, b) => a - b);
      const move = moves[moves.length >> 1] ?? 0; // one that ended may have gone elsewhere
      if (move) {
        box.scrollTop = top.current + move * size.row;
        look();
      }
    }
    const part = top.current / size.row;
    const seen = items.slice(Math.floor(part), Math.ceil(part + size.view / size.row));
    const keys = new Map(seen.map((item, index) => [keyOf(item), Math.floor(part) + index]));
    before.current = { items, row: size.row, keys, part };
  });

  const { key, index: place } = current;
  useLayoutEffect(() => {
    if (found >= 0 && found !== place) {
      setCurrent({ key, index: found }); // its neighbours get the focus if it goes
    }
  }, [found, key, place]);
  useLayoutEffect(() => {
    const lost = held.current && (document.activeElement ?? document.body) === document.body;
    if (!lost && !wanted.current) {
      return;
    }
    const row = list.current?.querySelector<HTMLElement>(`[data-index="${at}"] button`);
    if (row || !items.length) {
      wanted.current = false;
      (row ?? scroller.current)?.focus({ preventScroll: true });
    }
  });

  const go = (index: number): void => {
    const box = scroller.current;
    const to = Math.max(0, Math.min(index, items.length - 1));
    if (!box || !items.length) {
      return;
    }
    const above = to * size.row;
    box.scrollTop = Math.min(above, Math.max(box.scrollTop, above + size.row - size.view));
    look();
    wanted.current = true;
    setCurrent({ key: keyOf(items[to]), index: to });
  };

  useImperativeHandle(ref, () => ({
    focus: key => {
      const index = items.findIndex(item => keyOf(item) === key);
      if (index >= 0) {
        go(index);
      } else {
        scroller.current?.focus({ preventScroll: true });
      }
    }
  }));

  const press = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(size.view / size.row) - 1);
    const places: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: items.length - 1
    };
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) {
      return;
    }
    if (event.key in places) {
      event.preventDefault();
      go(places[event.key]);
    } else if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') {
      const row = (event.target as Element).closest('li');
      const buttons = [...(row?.querySelectorAll('button') ?? [])];
      const here = buttons.indexOf(document.activeElement as HTMLButtonElement);
      const there = buttons[here + (event.key === 'ArrowRight' ? 1 : -1)];
      event.preventDefault();
      there?.focus();
    }
  };

  const from = Math.max(0, first - BEYOND);
  const to = Math.min(items.length, first + Math.ceil(size.view / size.row) + BEYOND);
  const shown = Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
  if (items.length && (at < from || at >= to)) {
    // What has the focus stays in the page.
    shown[at < from ? 'unshift' : 'push'](at);
  }

  return (
    <div className="rexec-Virtual" ref={scroller} tabIndex={-1} onScroll={look}>
      <div className="rexec-Virtual-probe" ref={probe} aria-hidden="true" />
      {items.length ? (
        <ul
          ref={list}
          // Some browsers take a list without bullets for none.
          role="list"
          className="rexec-Virtual-list"
          aria-label={label}
          style={{ height: items.length * size.row }}
          onKeyDown={press}
          onFocus={event => {
            held.current = true;
            const row = (event.target as Element).closest('li');
            const index = Number(row?.dataset.index);
            if (row && items[index] && index !== at) {
              setCurrent({ key: keyOf(items[index]), index });
            }
          }}
          onBlur={event => {
            held.current = event.currentTarget.contains(event.relatedTarget);
          }}
        >
          {shown.map(index => (
            <Row
              key={keyOf(items[index])}
              index={index}
              count={items.length}
              height={size.row}
              current={index === at}
            >
              {children(items[index])}
            </Row>
          ))}
        </ul>
      ) : (
        empty
      )}
    </div>
  );
}) as <T>(props: IVirtualListProps<T> & { ref?: Ref<IVirtualList> }) => React.JSX.Element;

function Row(props: {
  index: number;
  count: number;
  height: number;
  current: boolean;
  children: ReactNode;
}): React.JSX.Element {
  const { index, count, height, current, children } = props;
  const row = useRef<HTMLLIElement>(null);
  useLayoutEffect(() => {
    row.current?.querySelectorAll('button').forEach(button => {
      button.tabIndex = current ? 0 : -1;
    });
  });
  return (
    <li
      ref={row}
      className="rexec-Virtual-row"
      data-index={index}
      aria-setsize={count}
      aria-posinset={index + 1}
      style={{ top: index * height, height }}
    >
      {children}
    </li>
  );
}
