import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/ui-components';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useSyncExternalStore } from 'react';

import { rexecIcon } from '../icons';
import type { IKnown } from '../store';
import { IRexec } from '../token';

/** How things stand, in the status bar; pressed, it shows the panel. */
export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'rexec-jupyter:status',
  description: 'Remote execution in the status bar.',
  autoStart: true,
  requires: [IRexec],
  optional: [IStatusBar],
  activate: (_: JupyterFrontEnd, rexec: IRexec, bar: IStatusBar | null): void => {
    bar?.registerStatusItem(statusPlugin.id, {
      item: ReactWidget.create(<StatusItem rexec={rexec} />),
      align: 'left',
      rank: 20
    });
  }
};

function StatusItem(props: { rexec: IRexec }): React.JSX.Element {
  const { store, trans, activate } = props.rexec;
  const text = useSyncExternalStore(store.subscribe, () => summary(store.snapshot(), trans));
  return (
    <button
      type="button"
      className="rexec-Status"
      title={trans.__('Show remote execution')}
      onClick={() => activate()}
    >
      <rexecIcon.react tag="span" elementPosition="center" height="16px" width="16px" />
      <span>{text}</span>
    </button>
  );
}

/** Return how things stand, in a few words. */
export function summary(known: IKnown, trans: TranslationBundle): string {
  if (known.contact !== 'live') {
    return known.contact === 'connecting' ? 'rexec' : trans.__('rexec: no answer');
  }
  const errors = known.alerts.filter(alert => alert.severity === 'error').length;
  if (errors) {
    return trans._n('rexec: %1 problem', 'rexec: %1 problems', errors);
  }
  const running = known.jobs.filter(job => job.open && job.started).length;
  const waiting = known.jobs.filter(job => job.open && !job.started).length;
  if (running || waiting) {
    const runs = trans._n('%1 running', '%1 running', running);
    return waiting ? trans.__('rexec: %1, %2 waiting', runs, waiting) : trans.__('rexec: %1', runs);
  }
  switch (known.connection?.state) {
    case 'connected':
      return trans.__('rexec: connected');
    case 'idle':
      return trans.__('rexec: no server');
    case 'login':
      return trans.__('rexec: log in');
    case 'connecting':
    case 'reconnecting':
      return trans.__('rexec: connecting');
    case 'failed':
      return trans.__('rexec: failed');
    default:
      return 'rexec';
  }
}
