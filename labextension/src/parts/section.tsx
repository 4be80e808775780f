import React, { useCallback, useEffect, useId, useRef, useState, type ReactNode } from 'react';

import { useRevealed } from '../context';

const STATE = 'rexec-panel:closed';

/** A section that opens and closes; it is remembered which ones are closed. */
export function Section(props: {
  /** By which it is remembered. */
  name: string;
  title: string;
  /** Beside the title; told with it. */
  count?: number;
  /** Buttons beside the title. */
  actions?: ReactNode;
  /** Whether it is closed until it is opened for the first time. */
  closed?: boolean;
  children: ReactNode;
}): React.JSX.Element {
  const { name, title, count, actions, children } = props;
  const [open, setOpen] = useState(() => !(remembered()[name] ?? props.closed ?? false));
  const id = useId();
  const head = useRef<HTMLButtonElement>(null);
  const body = useRef<HTMLDivElement>(null);

  useRevealed(
    name,
    useCallback(() => {
      setOpen(true);
      head.current?.scrollIntoView({ block: 'nearest' });
      head.current?.focus({ preventScroll: true });
    }, [])
  );

  useEffect(() => {
    const within = body.current;
    if (!within) {
      return;
    }
    // What is pressed may go with what it ended: then who uses the keyboard goes on from here.
    let focused: Element | null = null;
    const note = (event: FocusEvent): void => {
      focused = event.target as Element;
    };
    const observer = new MutationObserver(() => {
      if (focused && !focused.isConnected) {
        focused = null;
        if (document.activeElement === document.body) {
          head.current?.focus({ preventScroll: true });
        }
      }
    });
    within.addEventListener('focusin', note);
    observer.observe(within, { childList: true, subtree: true });
    return () => {
      within.removeEventListener('focusin', note);
      observer.disconnect();
    };
  }, []);

  const toggle = (): void => {
    setOpen(!open);
    remember({ ...remembered(), [name]: open });
  };

  return (
    <section className="rexec-Section" aria-labelledby={`${id}-title`} data-section={name}>
      <div className="rexec-Section-head">
        <h3 className="rexec-Section-title" id={`${id}-title`}>
          <button
            type="button"
            ref={head}
            className="rexec-Section-toggle"
            aria-expanded={open}
            aria-controls={`${id}-body`}
            onClick={toggle}
          >
            <span className="rexec-Section-mark" aria-hidden="true" />
            <span className="rexec-Section-name">{title}</span>
            {count !== undefined && <span className="rexec-Section-count">{count}</span>}
          </button>
        </h3>
        {open && actions}
      </div>
      <div className="rexec-Section-body" id={`${id}-body`} ref={body} hidden={!open}>
        {open && children}
      </div>
    </section>
  );
}

function remembered(): Record<string, boolean> {
  try {
    return JSON.parse(localStorage.getItem(STATE) ?? '{}') as Record<string, boolean>;
  } catch {
    return {}; // there is no storage, or somebody else wrote there
  }
}

function remember(closed: Record<string, boolean>): void {
  try {
    localStorage.setItem(STATE, JSON.stringify(closed));
  } catch {
    // then it is not remembered
  }
}
