import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Api } from '../api';
import type { IPlace } from '../context';
import { rexecIcon } from '../icons';
import { Notebooks } from '../notebooks';
import { RexecPanel } from '../panel';
import { Store } from '../store';
import { Stream } from '../stream';
import { IRexec } from '../token';

/** Milliseconds that a word about what was done is shown. */
const SHOWN = 5_000;

/** The panel itself, and what other parts of the page need of it. */
export const panelPlugin: JupyterFrontEndPlugin<IRexec> = {
  id: 'rexec-jupyter:panel',
  description: 'Remote execution in the sidebar.',
  autoStart: true,
  provides: IRexec,
  optional: [ITranslator, ILayoutRestorer, ISettingRegistry, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    tracker: INotebookTracker | null
  ): IRexec => {
    const trans = (translator ?? nullTranslator).load('rexec_jupyter');
    const settings = app.serviceManager.serverSettings;
    const store = new Store();
    const api = new Api(settings);
    const notebooks = new Notebooks(app, tracker);
    const reveal = new Signal<unknown, IPlace>({});
    const stream = new Stream(store, settings);
    const panel = new RexecPanel({
      api,
      store,
      trans,
      reveal,
      notebooks,
      retry: stream.retry,
      say: (text, kind = 'success') => {
        Notification.emit(text, kind, { autoClose: kind === 'error' ? false : SHOWN });
      }
    });
    panel.title.icon = rexecIcon;
    restorer?.add(panel, panel.id);

    const show = (mode: string): void => {
      store.restrict('settings', mode === 'readonly');
      if (mode === 'hidden') {
        panel.parent = null;
      } else if (!panel.isAttached) {
        app.shell.add(panel, 'left', { rank: 650, type: 'Remote execution' });
      }
    };
    const activate = (place?: IPlace): void => {
      app.shell.activateById(panel.id);
      if (place) {
        // Once it can be seen: a hidden panel cannot be scrolled.
        requestAnimationFrame(() => reveal.emit(place));
      }
    };
    if (registry) {
      void registry.load(panelPlugin.id).then(
        found => {
          const apply = (): void => show(found.get('mode').composite as string);
          found.changed.connect(apply);
          apply();
        },
        () => show('full')
      );
    } else {
      show('full');
    }
    return { api, store, trans, notebooks, activate };
  }
};
