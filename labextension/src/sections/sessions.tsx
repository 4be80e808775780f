import { addIcon, closeIcon, refreshIcon, stopIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useCallback, useState } from 'react';

import { useKnown, usePanel, useRevealed } from '../context';
import { duration } from '../format';
import { lineToUse } from '../magics';
import type { IConnection, ISession } from '../messages';
import { ActionButton, PlainButton } from '../parts/button';
import { useNow } from '../parts/clock';
import { Field, Form } from '../parts/form';
import { useInsert } from '../parts/insert';
import { Opener, useOpener } from '../parts/opener';
import { Row, State, Words, type Kind } from '../parts/row';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { sessionFault } from '../wanted';

const KINDS: Record<string, Kind> = { idle: 'good', busy: 'busy', stopped: 'off' };
/** Seconds after which it is worth telling that nothing runs. */
const IDLE = 60;

/** The user's sessions: what each does, and what can be done with it. */
export function Sessions(): React.JSX.Element {
  const { trans } = usePanel();
  const sessions = useKnown(known => known.sessions);
  const connection = useKnown(known => known.connection);
  const several = useKnown(known => known.servers.length > 1);
  const readOnly = useKnown(known => known.readOnly);
  const told = useKnown(known => known.told);
  const opener = useOpener();
  const stopped = useOpener();
  const { show } = opener;
  const startable = !readOnly && connection?.state === 'connected';
  const live = sessions.filter(session => session.state !== 'stopped');
  const ended = sessions.filter(session => session.state === 'stopped');

  useRevealed(
    'sessions',
    useCallback(
      subject => {
        if (subject === 'start' && startable) {
          show();
        }
      },
      [startable, show]
    )
  );

  return (
    <Section
      name="sessions"
      title={trans.__('Sessions')}
      count={live.length || undefined}
      actions={
        startable && <Opener opener={opener} icon={addIcon} label={trans.__('Start a session')} />
      }
    >
      {startable && opener.open && <SessionForm done={opener.close} />}
      {live.length > 0 && (
        <ul className="rexec-List" aria-label={trans.__('Sessions')}>
          {live.map(session => (
            <SessionRow key={session.name} session={session} several={several} />
          ))}
        </ul>
      )}
      {told && connection ? (
        !live.length && !opener.open && <NoSession connection={connection} />
      ) : (
        <Skeleton lines={2} />
      )}
      {ended.length > 0 && (
        <>
          <Opener
            opener={stopped}
            label={
              stopped.open
                ? trans.__('Hide stopped ones')
                : trans._n('Show %1 stopped one', 'Show %1 stopped ones', ended.length)
            }
            description={
              stopped.open
                ? trans.__('Hide stopped sessions')
                : trans._n('Show %1 stopped session', 'Show %1 stopped sessions', ended.length)
            }
          />
          {stopped.open && (
            <ul className="rexec-List" aria-label={trans.__('Stopped sessions')}>
              {ended.map(session => (
                <SessionRow key={session.name} session={session} several={several} />
              ))}
            </ul>
          )}
        </>
      )}
    </Section>
  );
}

/** Why there is none, and what to do. */
function NoSession(props: { connection: IConnection }): React.JSX.Element {
  const { trans } = usePanel();
  return (
    <p className="rexec-Empty">
      {props.connection.state === 'connected'
        ? trans.__(
            'No session runs. A session keeps the variables of your cells; the first %%%%rexec cell starts one, or the “+” above.'
          )
        : trans.__('Sessions can be seen while there is a server that answers.')}
    </p>
  );
}

function SessionRow(props: { session: ISession; several: boolean }): React.JSX.Element {
  const { trans } = usePanel();
  const { session, several } = props;
  const { name, state, running, queued, idle_since, server } = session;
  return (
    <Row
      name={name}
      state={<State kind={KINDS[state] ?? 'pending'}>{stateText(state, trans)}</State>}
      actions={<Actions session={session} />}
    >
      <Words
        kept={state !== 'stopped'}
        of={[
          running && <RunningJob id={running} />,
          queued > 0 && trans._n('%1 cell waits', '%1 cells wait', queued),
          state === 'idle' &&
            (idle_since > 0 ? <IdleFor since={idle_since} /> : trans.__('nothing ran yet')),
          several && server && (
            <>
              {trans.__('on')} <bdi>{server}</bdi>
            </>
          )
        ]}
      />
    </Row>
  );
}

/** The job that runs there; pressed, it shows its log. */
function RunningJob(props: { id: string }): React.JSX.Element {
  const { reveal, trans } = usePanel();
  const name = useKnown(known => known.jobs.find(job => job.id === props.id)?.name);
  const shown = name || props.id.slice(0, 8);
  return (
    <button
      type="button"
      className="rexec-Link"
      title={trans.__('Show its log')}
      aria-label={trans.__('Runs %1: show its log', shown)}
      onClick={() => reveal.emit({ section: 'jobs', subject: props.id })}
    >
      <bdi>{shown}</bdi>
    </button>
  );
}

function IdleFor(props: { since: number }): React.JSX.Element | null {
  const { trans } = usePanel();
  const idle = useNow(10) - props.since;
  return (
    <span className="rexec-Number">
      {idle < IDLE ? trans.__('just now') : trans.__('for %1', duration(idle))}
    </span>
  );
}

function Actions(props: { session: ISession }): React.JSX.Element {
  const { api, trans } = usePanel();
  const readOnly = useKnown(known => known.readOnly);
  const insert = useInsert();
  const { name, state } = props.session;
  const lives = state === 'idle' || state === 'busy';
  return (
    <>
      <PlainButton
        label={trans.__('Use')}
        description={trans.__('Have the notebook use session %1: insert %rexec use', name)}
        act={() => insert(lineToUse(name))}
      />
      {!readOnly && state === 'busy' && (
        <ActionButton
          icon={stopIcon}
          label={trans.__('Interrupt session %1', name)}
          action={() => api.interruptSession(name)}
        />
      )}
      {!readOnly && lives && (
        <ActionButton
          icon={refreshIcon}
          label={trans.__('Restart session %1', name)}
          action={force => api.restartSession(name, force)}
        />
      )}
      {!readOnly && state !== 'stopped' && (
        <ActionButton
          icon={closeIcon}
          label={trans.__('Stop session %1', name)}
          action={force => api.stopSession(name, force)}
        />
      )}
      {!readOnly && state === 'stopped' && (
        <ActionButton
          label={trans.__('Start')}
          description={trans.__('Start session %1', name)}
          action={() => api.startSession(name)}
        />
      )}
    </>
  );
}

function SessionForm(props: { done: () => void }): React.JSX.Element {
  const { api, trans } = usePanel();
  const sessions = useKnown(known => known.sessions);
  const [name, setName] = useState('');
  const [fault, setFault] = useState('');
  const given = name.trim();

  const check = (): boolean => {
    const runs = sessions.some(each => each.name === given && each.state !== 'stopped');
    const found = runs ? trans.__('Session %1 runs already.', given) : sessionFault(given, trans);
    setFault(found);
    return !found;
  };

  return (
    <Form
      title={trans.__('Start a session')}
      submit={trans.__('Start')}
      check={check}
      action={() => api.startSession(given)}
      done={props.done}
      cancel={props.done}
    >
      <Field
        label={trans.__('Name')}
        fault={fault}
        help={trans.__('Cells run there after %rexec use and this name.')}
      >
        {field => (
          <input
            {...field}
            type="text"
            name="name"
            autoComplete="off"
            spellCheck={false}
            dir="auto"
            value={name}
            onChange={event => {
              setName(event.target.value);
              setFault('');
            }}
          />
        )}
      </Field>
    </Form>
  );
}

function stateText(state: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    starting: trans.__('starts'),
    idle: trans.__('idle'),
    busy: trans.__('busy'),
    stopped: trans.__('stopped')
  };
  return words[state] ?? state;
}
