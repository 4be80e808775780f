import { addIcon, closeIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useCallback, useEffect, useState } from 'react';

import { useKnown, usePanel, useRevealed } from '../context';
import { duration, elapsed, size } from '../format';
import type { IConnection, IServer } from '../messages';
import { ActionButton, PlainButton } from '../parts/button';
import { useNow } from '../parts/clock';
import { Opener, useOpener } from '../parts/opener';
import { Announcer, Details, Facts, Row, State, Words, type Kind } from '../parts/row';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { ServerForm } from './serverform';

const MINUTE = 60;
const HOUR = 3600;
/** By how much longer a server can be let live. */
const LONGER = [30 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR];
const KINDS: Record<string, Kind> = {
  ready: 'good',
  suspect: 'bad',
  lost: 'bad',
  failed: 'bad',
  draining: 'off',
  stopping: 'off'
};

/** The user's servers, whoever started them. */
export function Servers(): React.JSX.Element {
  const { reveal, trans } = usePanel();
  const connection = useKnown(known => known.connection);
  const servers = useKnown(known => known.servers);
  const readOnly = useKnown(known => known.readOnly);
  const told = useKnown(known => known.told);
  const opener = useOpener();
  const { show } = opener;
  const startable = !readOnly && connection?.backend === 'endpoint' && connection.state !== 'login';
  const elsewhere = connection?.backend === 'embedded' && connection.state !== 'stopped';

  useRevealed(
    'servers',
    useCallback(
      subject => {
        if (subject !== 'start') {
          return;
        }
        if (elsewhere) {
          // The one server of this computer runs: it is a session that can be started.
          reveal.emit({ section: 'sessions', subject: 'start' });
        } else if (startable) {
          show();
        }
      },
      [elsewhere, startable, reveal, show]
    )
  );

  return (
    <Section
      name="servers"
      title={trans.__('Servers')}
      count={servers.length || undefined}
      actions={
        startable && <Opener opener={opener} icon={addIcon} label={trans.__('Start a server')} />
      }
    >
      <Announcer
        known={told}
        texts={Object.fromEntries(
          servers.map(server => [
            `${server.name} ${server.state}`,
            trans.__('Server %1: %2.', server.name, stateText(server, trans))
          ])
        )}
      />
      {startable && opener.open && <ServerForm done={opener.close} />}
      {servers.length > 0 && (
        <ul className="rexec-List" aria-label={trans.__('Servers')}>
          {servers.map(server => (
            <ServerRow key={server.name} server={server} />
          ))}
        </ul>
      )}
      {told && connection ? (
        !servers.length && !opener.open && <NoServer connection={connection} show={show} />
      ) : (
        <Skeleton lines={2} />
      )}
    </Section>
  );
}

/** Why there is none, and what to do. */
function NoServer(props: { connection: IConnection; show: () => void }): React.JSX.Element {
  const { api, notebooks, reveal, trans } = usePanel();
  const readOnly = useKnown(known => known.readOnly);
  const { backend, state } = props.connection;
  if (state === 'login') {
    return (
      <div className="rexec-Empty">
        <p>{trans.__('Who is logged in sees their servers here.')}</p>
        {!readOnly && (
          <PlainButton
            label={trans.__('Log in…')}
            description={trans.__('Log in to see your servers')}
            act={() => reveal.emit({ section: 'connection', subject: 'login' })}
          />
        )}
      </div>
    );
  }
  if (state === 'failed' || state === 'connecting' || state === 'reconnecting') {
    return (
      <p className="rexec-Empty">
        {trans.__('No server is known now; “Connection” above tells why.')}
      </p>
    );
  }
  return (
    <div className="rexec-Empty">
      <p>
        {trans.__(
          'No server runs. A server is where your sessions and functions run; the first %%%%rexec cell of a notebook starts one, too.'
        )}
      </p>
      {!readOnly &&
        (backend === 'embedded' ? (
          <ActionButton
            label={trans.__('Start')}
            description={trans.__('Start the server of this computer')}
            action={() => api.startEmbedded(notebooks.kernelSpec())}
          />
        ) : (
          <PlainButton label={trans.__('Start a server…')} act={props.show} />
        ))}
    </div>
  );
}

function ServerRow(props: { server: IServer }): React.JSX.Element {
  const { trans } = usePanel();
  const { server } = props;
  const { name, profile, python, cpu, memory, gpu, slots, running, queued, ends } = server;
  const readOnly = useKnown(known => known.readOnly);
  const extending = useOpener();
  const extendable = !readOnly && server.can.includes('extend');
  const facts = {
    ...server.facts,
    ...(slots ? { [trans.__('functions at once')]: String(slots) } : {})
  };
  return (
    <Row
      name={name}
      state={<State kind={KINDS[server.state] ?? 'pending'}>{stateText(server, trans)}</State>}
      actions={<Actions server={server} />}
    >
      <Words
        of={[
          profile && <bdi>{profile}</bdi>,
          python && trans.__('Python %1', python),
          cpu > 0 && trans._n('%1 core', '%1 cores', cpu),
          memory > 0 && size(memory),
          gpu > 0 && trans._n('%1 GPU', '%1 GPUs', gpu)
        ]}
      />
      <Words
        of={[
          running > 0 && trans._n('%1 job runs', '%1 jobs run', running),
          queued > 0 && trans._n('%1 job waits', '%1 jobs wait', queued),
          server.state === 'ready' && !running && !queued && trans.__('nothing runs'),
          ends > 0 && <TimeLeft ends={ends} />,
          extendable && (
            <Opener
              opener={extending}
              quiet
              label={trans.__('Extend')}
              description={trans.__('Extend the life of server %1', name)}
            />
          )
        ]}
      />
      {extending.open && extendable && <Extend server={name} done={extending.close} />}
      {Object.keys(facts).length > 0 && (
        <Details summary={trans.__('More')} description={trans.__('More about server %1', name)}>
          <Facts facts={facts} />
        </Details>
      )}
    </Row>
  );
}

/** What may be asked of a server now. */
function Actions(props: { server: IServer }): React.JSX.Element {
  const { api, reveal, store, trans } = usePanel();
  const readOnly = useKnown(known => known.readOnly);
  const { name, can } = props.server;
  const may = (what: string): boolean => !readOnly && can.includes(what);
  return (
    <>
      {can.includes('install-log') && (
        <PlainButton
          label={trans.__('Log')}
          description={trans.__('Show the install log of server %1', name)}
          act={() => reveal.emit({ section: 'environment', subject: name })}
        />
      )}
      {may('restart') && (
        <ActionButton
          icon={refreshIcon}
          label={trans.__('Restart server %1', name)}
          action={force => {
            store.forgetInstallation(name);
            return api.restartServer(name, force);
          }}
        />
      )}
      {may('stop') && (
        <ActionButton
          icon={closeIcon}
          label={trans.__('Stop server %1', name)}
          action={force => api.stopServer(name, force)}
        />
      )}
    </>
  );
}

/** Asks for how long. */
function Extend(props: { server: string; done: () => void }): React.JSX.Element {
  const { api, trans } = usePanel();
  return (
    <div
      className="rexec-Buttons rexec-Extend"
      role="group"
      aria-label={trans.__('Let server %1 live', props.server)}
    >
      <span aria-hidden="true">{trans.__('No end within')}</span>
      {LONGER.map(seconds => (
        <ActionButton
          key={seconds}
          label={duration(seconds)}
          description={trans.__(
            'Do not let server %1 end within %2',
            props.server,
            duration(seconds)
          )}
          action={async () => {
            const done = await api.extendServer(props.server, seconds);
            props.done();
            return done;
          }}
        />
      ))}
    </div>
  );
}

/** How long a server has left: seconds count only towards the end. */
function TimeLeft(props: { ends: number }): React.JSX.Element {
  const { trans } = usePanel();
  const [soon, setSoon] = useState(false);
  const left = props.ends - useNow(soon ? 1 : 10);
  const isSoon = left < HOUR;
  useEffect(() => setSoon(isSoon), [isSoon]);
  if (left <= 0) {
    return <span className="rexec-Number">{trans.__('ends now')}</span>;
  }
  return (
    <span className="rexec-Number">
      {trans.__('ends in %1', isSoon ? elapsed(left) : duration(left))}
    </span>
  );
}

function stateText(server: IServer, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    requested: trans.__('requested'),
    scheduling: trans.__('waits for a place'),
    pulling: trans.__('fetches its image'),
    installing: trans.__('installs packages'),
    starting: trans.__('starts'),
    ready: trans.__('ready'),
    suspect: trans.__('does not answer'),
    lost: trans.__('lost'),
    draining: trans.__('ends soon'),
    stopping: trans.__('stops'),
    failed: trans.__('failed')
  };
  const { state, phase } = server;
  // Who has no words for a state says that it “is” so.
  return phase && phase !== `is ${state}` ? phase : (words[state] ?? state);
}
