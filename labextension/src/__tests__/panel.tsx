import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import React from 'react';

import { Api } from '../api';
import { PanelContext, type IOwner, type IPanel, type IPlace } from '../context';
import { Store } from '../store';

/** A panel to draw parts in; `said` has what it told the user. */
export class TestPanel implements IPanel {
  readonly store = new Store();
  readonly trans = nullTranslator.load('rexec_jupyter');
  readonly reveal = new Signal<unknown, IPlace>({});
  readonly said: [string, string][] = [];
  readonly inserted: string[] = [];
  readonly api: Api;
  /** What kernels are of, by their ids. */
  readonly owners = new Map<string, IOwner>();
  readonly notebooks = {
    insert: (code: string): boolean => this.inserted.push(code) > 0,
    kernelSpec: (): string => 'second',
    ownerOf: (kernel: string): IOwner => this.owners.get(kernel) ?? { kind: 'notebook', name: '' },
    ownersChanged: new Signal<unknown, void>({})
  };

  constructor(baseUrl = 'http://127.0.0.1:1/') {
    this.api = new Api(ServerConnection.makeSettings({ baseUrl, wsUrl: baseUrl }));
  }

  say = (text: string, kind = 'success'): void => void this.said.push([kind, text]);
  retry = (): void => undefined;

  with(parts: React.JSX.Element): React.JSX.Element {
    return <PanelContext.Provider value={this}>{parts}</PanelContext.Provider>;
  }
}
