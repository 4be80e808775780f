import React, { useCallback, useRef, useState } from 'react';

import { useKnown, usePanel, useRevealed } from '../context';
import type { IConnection } from '../messages';
import { ActionButton } from '../parts/button';
import { Form, Field } from '../parts/form';
import { Opener, useOpener, type IOpener } from '../parts/opener';
import { Facts, State, type Kind } from '../parts/row';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { ElsewhereList } from './elsewhere';

/** What the address of the embedded backend is called where one is chosen. */
const LOCAL = 'local';
const KINDS: Record<IConnection['state'], Kind> = {
  stopped: 'off',
  login: 'bad',
  idle: 'off',
  connecting: 'pending',
  connected: 'good',
  reconnecting: 'pending',
  failed: 'bad'
};

/** Where code goes, as whom, and how that stands; logging in and out, starting and stopping. */
export function ConnectionSection(): React.JSX.Element {
  const { trans } = usePanel();
  const connection = useKnown(known => known.connection);
  const readOnly = useKnown(known => known.readOnly);
  const opener = useOpener();
  const [address, setAddress] = useState('');
  const { show } = opener;

  useRevealed(
    'connection',
    useCallback(
      subject => {
        if (subject && !readOnly) {
          setAddress(subject === 'login' ? '' : subject);
          show();
        }
      },
      [readOnly, show]
    )
  );

  return (
    <Section name="connection" title={trans.__('Connection')}>
      {connection ? (
        <>
          <Standing connection={connection} />
          {!readOnly && <Actions connection={connection} opener={opener} />}
          {!readOnly && opener.open && (
            <Login key={address} address={address || connection.url} done={opener.close} />
          )}
          <ElsewhereList />
          {!readOnly && <Others connection={connection} />}
        </>
      ) : (
        <Skeleton lines={3} />
      )}
    </Section>
  );
}

function Standing(props: { connection: IConnection }): React.JSX.Element {
  const { trans } = usePanel();
  const { backend, url, state, text, hint, code, user, kept, programs, pages } = props.connection;
  const words: Record<IConnection['state'], string> = {
    stopped: trans.__('Stopped'),
    login: trans.__('Not logged in'),
    idle: trans.__('No server'),
    connecting: trans.__('Connecting'),
    connected: trans.__('Connected'),
    reconnecting: trans.__('Connecting again'),
    failed: trans.__('Failed')
  };
  const links = Object.entries(pages).filter(([, address]) => isPage(address));
  return (
    <>
      <div className="rexec-Standing" role="status">
        <State kind={KINDS[state]}>{words[state]}</State>
        {text && state !== 'connected' && <p>{text}</p>}
        {hint && <p className="rexec-Quiet">{hint}</p>}
        {code && <code className="rexec-Code">{code}</code>}
      </div>
      <Facts
        facts={{
          [trans.__('Backend')]: backend === 'embedded' ? trans.__('this computer') : url,
          ...(user ? { [trans.__('User')]: user } : {}),
          ...(backend === 'embedded' && state !== 'stopped'
            ? { [trans.__('Runs')]: <Lasting kept={kept} programs={programs} /> }
            : {}),
          ...(links.length
            ? {
                [trans.__('Pages')]: (
                  <span className="rexec-Links">
                    {links.map(([title, address]) => (
                      <a key={title} href={address} target="_blank" rel="noopener noreferrer">
                        {title}
                      </a>
                    ))}
                  </span>
                )
              }
            : {})
        }}
      />
    </>
  );
}

/** How long the embedded backend runs. */
function Lasting(props: { kept: boolean; programs: number }): React.JSX.Element {
  const { trans } = usePanel();
  const { kept, programs } = props;
  const lasting = kept ? trans.__('until it is stopped') : trans.__('while it is used');
  if (!programs) {
    return <>{lasting}</>;
  }
  return (
    <>
      {lasting}; {trans._n('%1 program uses it', '%1 programs use it', programs)}
    </>
  );
}

function Actions(props: { connection: IConnection; opener: IOpener }): React.JSX.Element {
  const { api, notebooks, trans } = usePanel();
  const { backend, url, state, kept, logins } = props.connection;
  return (
    <div className="rexec-Buttons">
      {backend === 'embedded' && (state === 'stopped' || !kept) && (
        <ActionButton
          primary={state === 'stopped'}
          label={state === 'stopped' ? trans.__('Start') : trans.__('Keep it running')}
          description={
            state === 'stopped'
              ? trans.__('Start the backend of this computer')
              : trans.__('Keep the backend of this computer running until it is stopped')
          }
          action={() => api.startEmbedded(notebooks.kernelSpec())}
        />
      )}
      {backend === 'embedded' && state !== 'stopped' && (
        <ActionButton
          label={trans.__('Stop')}
          description={trans.__('Stop the backend of this computer')}
          action={force => api.stopEmbedded(force)}
        />
      )}
      {backend === 'endpoint' && logins.includes(url) && (
        <ActionButton
          label={trans.__('Log out')}
          description={trans.__('Log out of %1', url)}
          action={() => api.logout(url)}
        />
      )}
      <Opener
        opener={props.opener}
        primary={state === 'login'}
        label={trans.__('Log in…')}
        description={trans.__('Log in to an endpoint')}
      />
    </div>
  );
}

/** Backends that could be used in the place of this one. */
function Others(props: { connection: IConnection }): React.JSX.Element | null {
  const { api, trans } = usePanel();
  const { backend, url, logins } = props.connection;
  const endpoints = logins.filter(each => backend === 'embedded' || each !== url);
  if (backend === 'embedded' && !endpoints.length) {
    return null;
  }
  const here = trans.__('this computer');
  const others = [...(backend === 'embedded' ? [] : [LOCAL]), ...endpoints];
  return (
    <>
      <p className="rexec-Label">{trans.__('Other backends')}</p>
      <ul className="rexec-Others" aria-label={trans.__('Other backends')}>
        {others.map(other => (
          <li key={other}>
            <bdi>{other === LOCAL ? here : other}</bdi>
            <span className="rexec-Buttons">
              <ActionButton
                label={trans.__('Use')}
                description={trans.__(
                  'Use %1 from now on, here and in notebooks',
                  other === LOCAL ? here : other
                )}
                action={() => api.use(other)}
              />
              {other !== LOCAL && (
                <ActionButton
                  label={trans.__('Log out')}
                  description={trans.__('Log out of %1', other)}
                  action={() => api.logout(other)}
                />
              )}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

type Way = 'token' | 'password';

/** Logs in. What is secret is in no state, and not in the page after it was sent. */
function Login(props: { address: string; done: () => void }): React.JSX.Element {
  const { api, trans } = usePanel();
  const [address, setAddress] = useState(props.address);
  const [way, setWay] = useState<Way>('token');
  const [faults, setFaults] = useState<Record<string, string>>({});
  const username = useRef<HTMLInputElement>(null);
  const secret = useRef<HTMLInputElement>(null);

  const check = (): boolean => {
    const found: Record<string, string> = {};
    if (!/^\S+$/.test(address.trim())) {
      found.address = address.trim()
        ? trans.__('There are no blanks in an address.')
        : trans.__('Give the address of the endpoint.');
    }
    if (way === 'password' && !username.current?.value.trim()) {
      found.username = trans.__('Give your user name.');
    }
    if (!secret.current?.value.trim()) {
      found.secret =
        way === 'token' ? trans.__('Paste the token.') : trans.__('Give your password.');
    }
    setFaults(found);
    return !Object.keys(found).length;
  };

  const logIn = (): Promise<{ text: string }> => {
    const given = secret.current?.value ?? '';
    if (secret.current) {
      secret.current.value = '';
    }
    const url = address.trim();
    return api.login(
      way === 'token'
        ? { url, token: given.trim() }
        : { url, username: username.current?.value.trim() ?? '', password: given }
    );
  };

  return (
    <Form
      title={trans.__('Log in to an endpoint')}
      submit={trans.__('Log in')}
      check={check}
      action={logIn}
      done={props.done}
      cancel={props.done}
    >
      <Field label={trans.__('Address')} fault={faults.address}>
        {given => (
          <input
            {...given}
            type="text"
            inputMode="url"
            autoCapitalize="none"
            name="url"
            autoComplete="url"
            spellCheck={false}
            placeholder="https://"
            value={address}
            onChange={event => setAddress(event.target.value)}
          />
        )}
      </Field>
      <fieldset className="rexec-Choice">
        <legend>{trans.__('With')}</legend>
        {(['token', 'password'] as const).map(each => (
          <label key={each}>
            <input
              type="radio"
              name="way"
              value={each}
              checked={way === each}
              onChange={() => {
                setWay(each);
                setFaults({});
              }}
            />
            {each === 'token' ? trans.__('a token') : trans.__('name and password')}
          </label>
        ))}
      </fieldset>
      {way === 'password' && (
        <Field label={trans.__('User name')} fault={faults.username}>
          {given => (
            <input
              {...given}
              type="text"
              name="username"
              ref={username}
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
            />
          )}
        </Field>
      )}
      <Field
        // Another input: what is typed for one is not sent as the other.
        key={way}
        label={way === 'token' ? trans.__('Token') : trans.__('Password')}
        fault={faults.secret}
        help={
          way === 'token'
            ? trans.__('It goes to the Jupyter server alone, and is not kept in this page.')
            : trans.__('It is exchanged for a token, and not kept.')
        }
      >
        {given => (
          <input
            {...given}
            type="password"
            name={way}
            ref={secret}
            autoComplete={way === 'token' ? 'off' : 'current-password'}
          />
        )}
      </Field>
    </Form>
  );
}

/** Whether an address is that of a page, and not code. */
function isPage(address: string): boolean {
  return /^(https?:\/\/|\/)/i.test(address);
}
