import React from 'react';

import { useKnown, usePanel } from '../context';
import type { IAlert, IServer } from '../messages';
import { ActionButton, PlainButton } from '../parts/button';
import { Announcer } from '../parts/row';

/** Seconds that the button of an alert has a server live longer. */
const LONGER = 3600;

/** What somebody should do something about: its cause, the next step, and the button for it. */
export function Alerts(): React.JSX.Element {
  const { trans } = usePanel();
  const alerts = useKnown(known => known.alerts);
  const told = useKnown(known => known.told);
  const errors = alerts.filter(alert => alert.severity === 'error');
  return (
    <>
      <Announcer
        urgent
        known={told}
        texts={Object.fromEntries(
          errors.map(({ key, cause, hint }) => [key, `${cause} ${hint}`.trim()])
        )}
      />
      {alerts.length > 0 && (
        <section className="rexec-Alerts" aria-label={trans.__('Alerts')}>
          <ul>
            {alerts.map(alert => (
              <AlertItem key={alert.key} alert={alert} />
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function AlertItem(props: { alert: IAlert }): React.JSX.Element {
  const { trans } = usePanel();
  const { severity, cause, hint, code } = props.alert;
  const kinds = {
    error: trans.__('Error'),
    warning: trans.__('Warning'),
    info: trans.__('Note')
  };
  return (
    <li className="rexec-Alert" data-severity={severity}>
      <p className="rexec-Alert-cause">
        <strong>{kinds[severity]}:</strong> <bdi>{cause}</bdi>
      </p>
      {hint && <p>{hint}</p>}
      <div className="rexec-Buttons">
        <Mend alert={props.alert} />
        {code && <code className="rexec-Code">{code}</code>}
      </div>
    </li>
  );
}

/** The button that mends it, if there is one that the user may press. */
function Mend(props: { alert: IAlert }): React.JSX.Element | null {
  const { api, reveal, store, trans } = usePanel();
  const readOnly = useKnown(known => known.readOnly);
  const servers = useKnown(known => known.servers);
  const { action, subject } = props.alert;

  const lead = (
    label: string,
    description: string,
    section: string,
    to: string
  ): React.JSX.Element => (
    <PlainButton
      label={label}
      description={description}
      act={() => reveal.emit({ section, subject: to })}
    />
  );

  switch (action) {
    case 'log':
      return lead(
        trans.__('Show log'),
        trans.__('Show the log of job %1', subject.slice(0, 8)),
        'jobs',
        subject
      );
    case 'install-log':
      return lead(
        trans.__('Show log'),
        trans.__('Show what was installed on server %1', subject),
        'environment',
        subject
      );
  }
  if (readOnly) {
    return null;
  }
  switch (action) {
    case 'login':
      return lead(
        trans.__('Log in…'),
        subject ? trans.__('Log in to %1', subject) : trans.__('Log in'),
        'connection',
        subject || 'login'
      );
    case 'restart':
      return isServer(subject, servers) ? (
        <ActionButton
          label={trans.__('Restart')}
          description={trans.__('Restart server %1', subject)}
          action={force => {
            store.forgetInstallation(subject);
            return api.restartServer(subject, force);
          }}
        />
      ) : (
        <ActionButton
          label={trans.__('Restart')}
          description={trans.__('Restart session %1', subject)}
          action={force => api.restartSession(subject, force)}
        />
      );
    case 'extend':
      return (
        <ActionButton
          label={trans.__('1 h more')}
          description={trans.__('Let server %1 live 1 h longer', subject)}
          action={() => api.extendServer(subject, LONGER)}
        />
      );
    default:
      return null;
  }
}

function isServer(name: string, servers: readonly IServer[]): boolean {
  return servers.some(server => server.name === name);
}
