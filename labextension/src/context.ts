import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal, Signal } from '@lumino/signaling';
import { createContext, useContext, useEffect, useSyncExternalStore } from 'react';

import type { Api } from './api';
import type { IKnown, Store } from './store';

/** What a kernel is of: one notebook with a name, or something that has none here. */
export interface IOwner {
  readonly kind: 'notebook' | 'console';
  readonly name: string;
}

/** The user's notebooks, and what the panel can do to the one that they have before them. */
export interface INotebooks {
  /** Insert a code cell below the current one, and show it; false if there is no notebook. */
  insert(code: string): boolean;
  /** The name of its kernel spec; empty if there is no notebook, or no kernel. */
  kernelSpec(): string;
  /** What a kernel is of. */
  ownerOf(kernel: string): IOwner;
  /** Emitted when kernels may be of something else. */
  readonly ownersChanged: ISignal<unknown, unknown>;
}

/** Where the user is led: a section, and what in it, such as the id of a job. */
export interface IPlace {
  section: string;
  subject?: string;
}

/** What every part of the panel needs. */
export interface IPanel {
  readonly api: Api;
  readonly store: Store;
  readonly trans: TranslationBundle;
  readonly notebooks: INotebooks;
  /** Say something to those who see and those who listen; errors stay until they are dismissed. */
  readonly say: (text: string, kind?: 'success' | 'error') => void;
  /** Emitted to lead the user to a place in the panel. */
  readonly reveal: Signal<unknown, IPlace>;
  /** Connect to the Jupyter server again, now. */
  readonly retry: () => void;
}

export const PanelContext = createContext<IPanel | null>(null);

export function usePanel(): IPanel {
  const panel = useContext(PanelContext);
  if (!panel) {
    throw new Error('This part is not in a panel.');
  }
  return panel;
}

/** What is known, or a part of it; rendered anew only if that part is another. */
export function useKnown<T>(part: (known: IKnown) => T): T {
  const { store } = usePanel();
  return useSyncExternalStore(store.subscribe, () => part(store.snapshot()));
}

/** Do something whenever the user is led to a section. */
export function useRevealed(section: string, act: (subject: string) => void): void {
  const { reveal } = usePanel();
  useEffect(() => {
    const hear = (_: unknown, place: IPlace): void => {
      if (place.section === section) {
        act(place.subject ?? '');
      }
    };
    reveal.connect(hear);
    return () => void reveal.disconnect(hear);
  }, [reveal, section, act]);
}
