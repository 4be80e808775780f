import type { TranslationBundle } from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';

import type { Api } from './api';
import type { INotebooks, IPlace } from './context';
import type { Store } from './store';

/** What other parts of the page may use of the panel. */
export interface IRexec {
  readonly api: Api;
  readonly store: Store;
  readonly trans: TranslationBundle;
  readonly notebooks: INotebooks;
  /** Show the panel, and a place in it. */
  readonly activate: (place?: IPlace) => void;
}

export const IRexec = new Token<IRexec>('rexec-jupyter:IRexec', 'Remote execution.');
