import React, { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from 'react';

import { ProblemError } from '../api';
import { usePanel } from '../context';
import { PlainButton } from './button';
import { told, useTrouble } from './trouble';

/** What an input has to carry so that it is announced with its help and its fault. */
export interface IGiven {
  id: string;
  'aria-describedby': string | undefined;
  'aria-invalid': boolean | undefined;
  className: string;
}

/** An input with its label, what helps to fill it in, and what is wrong with what it has. */
export function Field(props: {
  label: string;
  help?: string;
  fault?: string;
  children: (given: IGiven) => ReactNode;
}): React.JSX.Element {
  const { label, help, fault, children } = props;
  const id = useId();
  const described = [fault && `${id}-fault`, help && `${id}-help`].filter(Boolean).join(' ');
  return (
    <div className="rexec-Field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        'aria-describedby': described || undefined,
        'aria-invalid': fault ? true : undefined,
        className: 'rexec-Input'
      })}
      {fault && (
        <p className="rexec-Field-fault" id={`${id}-fault`}>
          {fault}
        </p>
      )}
      {help && (
        <p className="rexec-Field-help" id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  );
}

/**
 * A form that asks for something: what it is refused is told beside it, and if something would be
 * lost the user is asked.
 */
export function Form(props: {
  title: string;
  submit: string;
  /** Whether it has no faults; the first of them gets the focus. */
  check: () => boolean;
  action: (force: boolean) => Promise<{ text: string } | undefined>;
  /** It is done. */
  done: () => void;
  /** It is given up. */
  cancel: () => void;
  children: ReactNode;
}): React.JSX.Element {
  const { title, submit, check, action, done, cancel, children } = props;
  const { say, trans } = usePanel();
  const trouble = useTrouble();
  const form = useRef<HTMLFormElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const [refused, setRefused] = useState(0);

  useEffect(() => {
    form.current?.scrollIntoView({ block: 'nearest' });
    form.current?.querySelector<HTMLElement>('input, select, textarea')?.focus();
  }, []);
  useEffect(() => {
    if (refused) {
      form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus();
    }
  }, [refused]);

  /** Return whether it was done. */
  const attempt = async (force: boolean): Promise<boolean> => {
    try {
      const answer = await action(force);
      if (answer?.text) {
        say(answer.text);
      }
      return true;
    } catch (error) {
      if (!force && error instanceof ProblemError && error.losses.length) {
        throw error;
      }
      setProblem(told(error));
      return false;
    }
  };

  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (busy) {
      return;
    }
    setProblem('');
    if (!check()) {
      setRefused(count => count + 1);
      return;
    }
    setBusy(true);
    const succeeded = await trouble(attempt);
    setBusy(false);
    if (succeeded) {
      done();
    }
  };

  return (
    <form
      ref={form}
      className="rexec-Form"
      aria-label={title}
      aria-busy={busy}
      noValidate
      onSubmit={event => void send(event)}
      onKeyDown={event => {
        if (event.key === 'Escape' && !busy) {
          event.stopPropagation();
          cancel();
        }
      }}
    >
      <p className="rexec-Form-title">{title}</p>
      {children}
      <p className="rexec-Form-problem" role="alert">
        {problem}
      </p>
      <div className="rexec-Buttons">
        <button
          type="submit"
          className="rexec-Button rexec-mod-primary"
          aria-disabled={busy}
          aria-busy={busy}
        >
          {submit}
        </button>
        <PlainButton label={trans.__('Cancel')} act={cancel} />
      </div>
    </form>
  );
}
