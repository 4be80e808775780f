import React, { useCallback, useEffect, useMemo, useState } from 'react';

import { useKnown, usePanel, useRevealed } from '../context';
import { lineToInstall, lineToStart, requirementsIn, sessionOn } from '../magics';
import type { IServer, IText } from '../messages';
import { PlainButton } from '../parts/button';
import { Field, Form } from '../parts/form';
import { useInsert } from '../parts/insert';
import { Opener, useOpener, type IOpener } from '../parts/opener';
import { Details, State } from '../parts/row';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { GrowingText } from '../parts/text';
import { told as toldOf } from '../parts/trouble';
import { packagesFault } from '../wanted';

/** Lines of what was written while packages were installed before anybody looked. */
const TAIL = 500;
const NOTHING: readonly string[] = [];

/** What packages there are on each server, how they got there, and how to add some. */
export function Environment(): React.JSX.Element {
  const { trans } = usePanel();
  const servers = useKnown(known => known.servers);
  const embedded = useKnown(known => known.connection?.backend === 'embedded');
  const told = useKnown(known => known.told);
  return (
    <Section name="environment" title={trans.__('Packages')}>
      {servers.map(server => (
        <ServerPackages
          key={server.name}
          server={server}
          embedded={embedded}
          alone={servers.length === 1}
        />
      ))}
      {told ? (
        !servers.length && (
          <p className="rexec-Empty">
            {embedded
              ? trans.__(
                  'Sessions of this computer use the packages of its Python. Once its server runs, some can be added here.'
                )
              : trans.__(
                  'No server. Packages are chosen where one is started, or by %rexec start NAME -r PACKAGE.'
                )}
          </p>
        )
      ) : (
        <Skeleton lines={1} />
      )}
    </Section>
  );
}

function ServerPackages(props: {
  server: IServer;
  embedded: boolean;
  alone: boolean;
}): React.JSX.Element {
  const { trans } = usePanel();
  const { server, embedded, alone } = props;
  const { name, python, requirements, can } = server;
  const insert = useInsert();
  const adding = useOpener();
  return (
    <div className="rexec-Packages">
      {!alone && (
        <h4>
          <bdi>{name}</bdi>
        </h4>
      )}
      {requirements.length > 0 ? (
        <ul
          className="rexec-Requirements"
          aria-label={trans.__('Packages asked for on server %1', name)}
        >
          {requirements.map(requirement => (
            <li key={requirement}>
              <code>{requirement}</code>
            </li>
          ))}
        </ul>
      ) : (
        <p className="rexec-Quiet">
          {embedded
            ? python
              ? trans.__('Sessions use the packages of this computer’s Python %1.', python)
              : trans.__('Sessions use the packages of this computer’s Python.')
            : trans.__('Nothing was asked for beside what its image has.')}
        </p>
      )}
      <div className="rexec-Buttons">
        <Opener
          opener={adding}
          label={trans.__('Add packages…')}
          description={trans.__('Add packages on server %1', name)}
        />
        {requirements.length > 0 && (
          <PlainButton
            label={trans.__('Insert %rexec start')}
            description={trans.__(
              'Insert the line that starts a server with the packages of %1',
              name
            )}
            act={() => insert(lineToStart(name, requirements))}
          />
        )}
      </div>
      {adding.open && <Adding server={server} embedded={embedded} opener={adding} />}
      {can.includes('install-log') && <InstallLog server={server} />}
    </div>
  );
}

/** Asks what to add, and inserts the line that does it: what happens is seen in the notebook. */
function Adding(props: { server: IServer; embedded: boolean; opener: IOpener }): React.JSX.Element {
  const { trans } = usePanel();
  const { server, embedded, opener } = props;
  const sessions = useKnown(known => known.sessions);
  const insert = useInsert();
  const [text, setText] = useState('');
  const [anew, setAnew] = useState(false);
  const [fault, setFault] = useState('');
  const packages = requirementsIn(text.replaceAll(/[,\n]+/g, '\n'));
  const session = sessionOn(server, sessions);

  const check = (): boolean => {
    const found = packagesFault(packages, trans);
    setFault(found);
    return !found;
  };
  const line = anew
    ? lineToStart(server.name, [...new Set([...server.requirements, ...packages])])
    : lineToInstall(embedded ? '' : session, packages);

  return (
    <Form
      title={trans.__('Add packages')}
      submit={trans.__('Insert into notebook')}
      check={check}
      action={() => {
        insert(line);
        return Promise.resolve(undefined);
      }}
      // The notebook has the focus then.
      done={opener.leave}
      cancel={opener.close}
    >
      <Field
        label={trans.__('Packages')}
        fault={fault}
        help={trans.__('One a line, such as numpy or numpy>=2.')}
      >
        {given => (
          <textarea
            {...given}
            name="packages"
            rows={2}
            autoCapitalize="none"
            spellCheck={false}
            value={text}
            onChange={event => {
              setText(event.target.value);
              setFault('');
            }}
          />
        )}
      </Field>
      {!embedded && (
        <fieldset className="rexec-Choice">
          <legend>{trans.__('Where')}</legend>
          <label>
            <input type="radio" name="where" checked={!anew} onChange={() => setAnew(false)} />
            {trans.__('on the server as it runs, until it ends')}
          </label>
          <label>
            <input type="radio" name="where" checked={anew} onChange={() => setAnew(true)} />
            {trans.__('on a new server in its place')}
          </label>
        </fieldset>
      )}
      {packages.length > 0 && <code className="rexec-Line">{line}</code>}
    </Form>
  );
}

/** What was written while packages were installed, and is. */
function InstallLog(props: { server: IServer }): React.JSX.Element {
  const { trans } = usePanel();
  const { name, state } = props.server;
  const installs = state === 'installing';
  const [led, setLed] = useState(0);

  useRevealed(
    'environment',
    useCallback(
      subject => {
        if (subject === name) {
          setLed(count => count + 1);
        }
      },
      [name]
    )
  );

  return (
    <Details
      summary={trans.__('Install log')}
      description={trans.__('Install log of server %1', name)}
      led={led}
    >
      <div role="status">
        {installs && <State kind="pending">{trans.__('installs packages')}</State>}
        {state === 'failed' && <State kind="bad">{trans.__('failed')}</State>}
      </div>
      <Lines server={name} state={state} />
    </Details>
  );
}

function Lines(props: { server: string; state: string }): React.JSX.Element {
  const { api, trans } = usePanel();
  const { server, state } = props;
  const live = useKnown(known => known.installing.get(server)) ?? NOTHING;
  const [before, setBefore] = useState<IText | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    let wanted = true;
    setProblem('');
    api.installLog(server, TAIL).then(
      found => wanted && setBefore(found),
      (error: unknown) => wanted && setProblem(toldOf(error))
    );
    return () => {
      wanted = false;
    };
    // Whenever an installation begins or ends there is something else to read.
  }, [api, server, state]);

  const lines = useMemo(() => joined(before?.lines ?? NOTHING, live), [before, live]);
  if (lines.length) {
    return (
      <GrowingText label={trans.__('What was installed on server %1', server)} lines={lines} />
    );
  }
  return (
    <p className="rexec-Quiet">
      {problem || (before ? trans.__('Nothing has been written yet.') : trans.__('Asking…'))}
    </p>
  );
}

/** Lines that were asked for, and those that came by themselves, each once. */
export function joined(asked: readonly string[], came: readonly string[]): readonly string[] {
  // Those that come have no blanks around them.
  const [a, b] = [asked, came].map(lines => lines.map(line => line.trim()));
  for (let start = 0; start < a.length; start++) {
    if (agree(a.slice(start), b)) {
      return [...asked, ...came.slice(a.length - start)];
    }
  }
  for (let start = 1; start < b.length; start++) {
    if (agree(b.slice(start), a)) {
      return [...came.slice(0, start), ...asked, ...came.slice(start + a.length)];
    }
  }
  return [...asked, ...came];
}

/** Whether two lists begin alike, as far as both go. */
function agree(one: readonly string[], other: readonly string[]): boolean {
  const length = Math.min(one.length, other.length);
  return one.slice(0, length).every((line, index) => line === other[index]);
}
