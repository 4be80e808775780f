import type { LabIcon } from '@jupyterlab/ui-components';
import React, { useCallback, useRef, useState, type RefObject } from 'react';

/** Something that a button opens and closes. */
export interface IOpener {
  readonly open: boolean;
  readonly button: RefObject<HTMLButtonElement>;
  readonly show: () => void;
  readonly toggle: () => void;
  /** Close it, and leave the focus where it is. */
  readonly leave: () => void;
  /** Close it, and go back to the button. */
  readonly close: () => void;
}

export function useOpener(): IOpener {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  return {
    open,
    button,
    show: useCallback(() => setOpen(true), []),
    toggle: useCallback(() => setOpen(before => !before), []),
    leave: useCallback(() => setOpen(false), []),
    close: useCallback(() => {
      setOpen(false);
      button.current?.focus();
    }, [])
  };
}

/** The button. */
export function Opener(props: {
  opener: IOpener;
  /** What is on it, or is its tooltip if it has an icon. */
  label: string;
  /** What it is called where the label alone does not tell what it acts on. */
  description?: string;
  icon?: LabIcon;
  /** Whether it is what most will want. */
  primary?: boolean;
  /** Whether it looks like the words around it. */
  quiet?: boolean;
}): React.JSX.Element {
  const { opener, label, description, icon, primary, quiet } = props;
  const look = `rexec-Button${icon ? ' rexec-mod-icon' : ''}${primary ? ' rexec-mod-primary' : ''}`;
  return (
    <button
      type="button"
      ref={opener.button}
      className={quiet ? 'rexec-Link' : look}
      title={description ?? label}
      aria-label={description ?? (icon ? label : undefined)}
      aria-expanded={opener.open}
      onClick={opener.toggle}
    >
      {icon ? <icon.react tag="span" elementSize="normal" /> : label}
    </button>
  );
}
