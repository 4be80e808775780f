import React, { useEffect, useRef, useState, type ReactNode } from 'react';

/** How something is doing, beside the words for it. */
export type Kind = 'good' | 'busy' | 'pending' | 'bad' | 'off';

/** A state in words, with a mark whose shape tells the same. */
export function State(props: { kind: Kind; children: ReactNode }): React.JSX.Element {
  return (
    <span className="rexec-State" data-kind={props.kind}>
      <span className="rexec-State-mark" aria-hidden="true" />
      <span>{props.children}</span>
    </span>
  );
}

/** One thing of a list: its name, how it is doing, what can be done, and more below. */
export function Row(props: {
  /** As somebody gave it. */
  name: string;
  state: ReactNode;
  actions?: ReactNode;
  children?: ReactNode;
}): React.JSX.Element {
  return (
    <li className="rexec-Row">
      <div className="rexec-Row-head">
        <span className="rexec-Row-what">
          <bdi className="rexec-Row-name">{props.name}</bdi> {props.state}
        </span>
        {props.actions && <span className="rexec-Row-actions">{props.actions}</span>}
      </div>
      {props.children}
    </li>
  );
}

/** Words with a dot between them; those that are empty are left out. */
export function Words(props: {
  of: readonly ReactNode[];
  /** Whether its line is there even without words, because they come and go. */
  kept?: boolean;
}): React.JSX.Element | null {
  const words = props.of.filter(Boolean);
  return words.length || props.kept ? (
    <p className="rexec-Words">
      {words.map((word, index) => (
        <span key={index}>{word}</span>
      ))}
    </p>
  ) : null;
}

/** Headings, and what there is to tell under each. */
export function Facts(props: { facts: Readonly<Record<string, ReactNode>> }): React.JSX.Element {
  return (
    <dl className="rexec-Facts">
      {Object.entries(props.facts).map(([heading, fact]) => (
        <div key={heading}>
          <dt>{heading}</dt>
          <dd>{typeof fact === 'string' ? <bdi>{fact}</bdi> : fact}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What is shown only to who opens it. */
export function Details(props: {
  summary: string;
  /** What it is called where the summary alone does not tell what it is of. */
  description?: string;
  /** How often the user was led here: each time it opens. */
  led?: number;
  children: ReactNode;
}): React.JSX.Element {
  const { summary, description, led, children } = props;
  const [open, setOpen] = useState(false);
  const head = useRef<HTMLElement>(null);
  useEffect(() => {
    if (led) {
      setOpen(true);
      head.current?.focus();
    }
  }, [led]);
  return (
    <details
      className="rexec-Details"
      open={open}
      onToggle={event => setOpen(event.currentTarget.open)}
    >
      <summary ref={head} aria-label={description}>
        {summary}
      </summary>
      {open && children}
    </details>
  );
}

/**
 * Says, to those who listen, what is new among texts: nothing of what there was in the beginning,
 * and nothing twice while it stays.
 */
export function Announcer(props: {
  /** By what each is known again. */
  texts: Readonly<Record<string, string>>;
  /** Whether it cannot wait until the reader has finished. */
  urgent?: boolean;
  /** Whether `texts` is known by now. */
  known: boolean;
}): React.JSX.Element {
  const { texts, urgent, known } = props;
  const before = useRef<ReadonlySet<string> | null>(null);
  const [said, say] = useState('');
  const keys = Object.keys(texts).join('\n');
  useEffect(() => {
    if (!known) {
      return;
    }
    const there = before.current;
    before.current = new Set(Object.keys(texts));
    const fresh = there ? Object.entries(texts).filter(([key]) => !there.has(key)) : [];
    if (fresh.length) {
      say(fresh.map(([, text]) => text).join(' '));
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the same keys say the same
  }, [keys, known]);
  return (
    <div className="rexec-Hidden" role={urgent ? 'alert' : 'status'}>
      {said}
    </div>
  );
}
