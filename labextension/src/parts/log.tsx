import { Clipboard } from '@jupyterlab/apputils';
import {
  closeIcon,
  copyIcon,
  downloadIcon,
  pauseIcon,
  runIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import React, { memo, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';

import { usePanel } from '../context';
import { bytes } from '../format';
import { PlainButton } from './button';
import { useFollowed, type IFollowed } from './following';
import { jobState, shortId } from './job';
import type { IBlock, ILine } from './terminal';

/** Pixels from the end that still count as the end. */
const NEAR = 8;

/** What a job showed, and what it goes on to show. */
export function Log(props: { id: string; name: string; onClose: () => void }): React.JSX.Element {
  const { trans, say } = usePanel();
  const { id, name, onClose } = props;
  const [paused, setPaused] = useState(false);
  const [announced, setAnnounced] = useState(false);
  const [atEnd, setAtEnd] = useState(true);
  const followed = useFollowed(id, paused);
  const title = useRef<HTMLHeadingElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const text = useRef<HTMLDivElement>(null);
  const headed = useId();

  useEffect(() => {
    title.current?.focus({ preventScroll: true });
    title.current?.parentElement?.parentElement?.scrollIntoView({ block: 'nearest' });
  }, []);

  const stick = (): void => {
    if (box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  };
  useLayoutEffect(() => {
    if (atEnd) {
      stick();
    }
  }, [followed.blocks, atEnd]);
  useEffect(() => {
    if (!atEnd || !text.current) {
      return;
    }
    // Lines wrap otherwise when the panel gets another width.
    const observer = new ResizeObserver(stick);
    observer.observe(text.current);
    return () => observer.disconnect();
  }, [atEnd]);

  const look = (): void => {
    if (box.current) {
      const { scrollTop, scrollHeight, clientHeight } = box.current;
      setAtEnd(scrollHeight - scrollTop - clientHeight <= NEAR);
    }
  };
  const copy = (): void => {
    Clipboard.copyToSystem(followed.text());
    say(trans.__('What is shown of the log was copied.'));
  };
  const going = followed.state !== 'ended' && followed.state !== 'unknown';

  return (
    <section className="rexec-Log" aria-labelledby={headed}>
      <div className="rexec-Log-head">
        <h4 className="rexec-Log-title" id={headed} ref={title} tabIndex={-1}>
          {trans.__('Log of')} <bdi>{name}</bdi>
        </h4>
        <Tool
          icon={paused ? runIcon : pauseIcon}
          label={paused ? trans.__('Go on') : trans.__('Pause')}
          disabled={going ? '' : trans.__('Nothing more comes')}
          act={() => setPaused(!paused)}
        />
        <Tool icon={copyIcon} label={trans.__('Copy what is shown')} act={copy} />
        <Tool
          icon={downloadIcon}
          label={trans.__('Download what is shown')}
          act={() => download(`job-${shortId(id)}.log`, followed.text())}
        />
        <Tool icon={closeIcon} label={trans.__('Close the log of %1', name)} act={onClose} />
      </div>
      <div
        className="rexec-Log-text"
        role="log"
        aria-live={announced ? 'polite' : 'off'}
        aria-label={trans.__('Lines of %1', name)}
        tabIndex={0}
        ref={box}
        onScroll={look}
      >
        <div ref={text}>
          {followed.before > 0 && (
            <p className="rexec-Log-before">
              {trans.__(
                '… %1 before this: %rexec logs %2 tells all',
                bytes(followed.before),
                shortId(id)
              )}
            </p>
          )}
          {followed.blocks.map(block => (
            <Block key={block.key} block={block} />
          ))}
        </div>
      </div>
      <div className="rexec-Log-foot">
        <span role="status">{words(followed, paused, trans)}</span>
        {!atEnd && (
          <PlainButton
            label={trans.__('To the end')}
            act={() => {
              setAtEnd(true);
              box.current?.focus();
            }}
          />
        )}
        <button
          type="button"
          className="rexec-Button"
          aria-pressed={announced}
          title={trans.__('Let screen readers read new lines out')}
          onClick={() => setAnnounced(!announced)}
        >
          {trans.__('Read out')}
        </button>
      </div>
    </section>
  );
}

function Tool(props: {
  icon: LabIcon;
  label: string;
  /** Why it cannot be pressed. */
  disabled?: string;
  act: () => void;
}): React.JSX.Element {
  const { icon: Icon, label, disabled, act } = props;
  return (
    <button
      type="button"
      className="rexec-Button rexec-mod-icon"
      title={disabled || label}
      aria-label={label}
      aria-disabled={Boolean(disabled)}
      onClick={() => !disabled && act()}
    >
      <Icon.react tag="span" elementSize="normal" />
    </button>
  );
}

const Block = memo(function Block(props: { block: IBlock }): React.JSX.Element {
  return (
    <div className="rexec-Log-block">
      {props.block.lines.map((line, index) => (
        <Line key={index} line={line} />
      ))}
    </div>
  );
});

const Line = memo(function Line(props: { line: ILine }): React.JSX.Element {
  return (
    <div className="rexec-Log-line">
      {props.line.spans.map((span, index) =>
        span.classes ? (
          <span key={index} className={span.classes}>
            {span.text}
          </span>
        ) : (
          span.text
        )
      )}
    </div>
  );
});

function words(
  followed: IFollowed,
  paused: boolean,
  trans: Parameters<typeof jobState>[1]
): string {
  if (followed.state === 'unknown') {
    return (
      followed.trouble ||
      trans.__('Nothing is kept of this job: logs are kept for a day, and the oldest go first.')
    );
  }
  if (followed.trouble) {
    return trans.__('%1 Trying again…', followed.trouble);
  }
  if (paused) {
    return trans.__('Paused; the job is not.');
  }
  switch (followed.state) {
    case 'reading':
      return trans.__('Reading…');
    case 'unbegun':
      return trans.__('It has not begun; what it shows will be here.');
    case 'ended':
      return followed.blocks.length
        ? trans.__('The end; the job is %1.', jobState(followed.job, trans))
        : trans.__('The job is %1, and showed nothing.', jobState(followed.job, trans));
    default:
      return followed.blocks.length ? trans.__('Following…') : trans.__('Nothing shown yet.');
  }
}

function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text, '\n'], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
