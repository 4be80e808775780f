import type { LabIcon } from '@jupyterlab/ui-components';
import React, { useState } from 'react';

import { usePanel } from '../context';
import { useTrouble } from './trouble';

/**
 * A button that asks for something and cannot be pressed again meanwhile. What it is refused is
 * told in words, with what would be lost if that is why.
 */
export function ActionButton(props: {
  /** What is on it, or is its tooltip if it has an icon. */
  label: string;
  /** What it is called where the label alone does not tell what it acts on. */
  description?: string;
  icon?: LabIcon;
  /** Why it cannot be pressed; shown as its tooltip. */
  disabled?: string;
  /** Whether it is the one that most will want. */
  primary?: boolean;
  /** Does it; with `force` if the user was told what is lost and wants it all the same. */
  action: (force: boolean) => Promise<{ text: string } | undefined>;
}): React.JSX.Element {
  const { say } = usePanel();
  const trouble = useTrouble();
  const [busy, setBusy] = useState(false);
  const { label, description, icon, disabled, primary, action } = props;

  const press = async (): Promise<void> => {
    if (busy || disabled) {
      return;
    }
    setBusy(true);
    try {
      const done = await trouble(action);
      if (done?.text) {
        say(done.text);
      }
    } finally {
      setBusy(false);
    }
  };

  return (
    <button
      type="button"
      className={`rexec-Button${icon ? ' rexec-mod-icon' : ''}${primary ? ' rexec-mod-primary' : ''}`}
      title={disabled || description || label}
      aria-label={description ?? (icon ? label : undefined)}
      // Not `disabled`: whoever uses the keyboard would not learn why.
      aria-disabled={Boolean(disabled) || busy}
      aria-busy={busy}
      onClick={() => void press()}
    >
      {icon ? <icon.react tag="span" elementSize="normal" /> : label}
    </button>
  );
}

/** A button that does something in the page, at once. */
export function PlainButton(props: {
  /** What is on it. */
  label: string;
  /** What it is called where the label alone does not tell what it acts on. */
  description?: string;
  act: () => void;
}): React.JSX.Element {
  const { label, description, act } = props;
  return (
    <button
      type="button"
      className="rexec-Button"
      title={description}
      aria-label={description}
      onClick={act}
    >
      {label}
    </button>
  );
}
