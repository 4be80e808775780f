import React, { useEffect, useState } from 'react';

import { ProblemError } from '../api';
import { useKnown, usePanel } from '../context';
import type { IField, IProfiles } from '../messages';
import { PlainButton } from '../parts/button';
import { Field, Form } from '../parts/form';
import { told } from '../parts/trouble';
import { faultsOf, profileOf, wantedBy, type Faults, type IServerForm } from '../wanted';

/** Starts a server: asks what kinds there are, and has a form made from that. */
export function ServerForm(props: { done: () => void }): React.JSX.Element {
  const { api, trans } = usePanel();
  const [profiles, setProfiles] = useState<IProfiles | null>(null);
  const [problem, setProblem] = useState('');
  const [asked, setAsked] = useState(0);

  useEffect(() => {
    let wanted = true;
    setProblem('');
    api.profiles().then(
      found => wanted && setProfiles(found),
      (error: unknown) => wanted && setProblem(told(error))
    );
    return () => {
      wanted = false;
    };
  }, [api, asked]);

  if (profiles) {
    return <Filled profiles={profiles} done={props.done} />;
  }
  return (
    <div className="rexec-Form">
      <p className={problem ? 'rexec-Form-problem' : 'rexec-Quiet'} role="status">
        {problem || trans.__('Asking what servers there can be…')}
      </p>
      <div className="rexec-Buttons">
        {problem && (
          <PlainButton label={trans.__('Try again')} act={() => setAsked(count => count + 1)} />
        )}
        <PlainButton label={trans.__('Cancel')} act={props.done} />
      </div>
    </div>
  );
}

function Filled(props: { profiles: IProfiles; done: () => void }): React.JSX.Element {
  const { profiles, done } = props;
  const { api, store, trans } = usePanel();
  const servers = useKnown(known => known.servers);
  const [form, setForm] = useState<IServerForm>(() => ({
    name: servers.some(server => server.name === 'default') ? '' : 'default',
    profile: profiles.profiles[0]?.name ?? '',
    requirements: '',
    options: {}
  }));
  const [checked, setChecked] = useState(false);
  const profile = profileOf(form, profiles);

  const found = faultsOf(form, profiles, trans);
  // Nobody is told of faults before they are done; then each goes as soon as it is mended.
  const faults: Faults = checked ? found : {};

  const check = (): boolean => {
    setChecked(true);
    return !Object.keys(found).length;
  };
  const change = (change: Partial<IServerForm>): void => setForm({ ...form, ...change });
  const start = async (force: boolean): Promise<{ text: string }> => {
    const wanted = wantedBy(form, profiles);
    const name = wanted.name ?? 'default';
    store.forgetInstallation(name);
    try {
      return await api.startServer({ ...wanted, force });
    } catch (error) {
      const other = error instanceof ProblemError && error.status === 409 && !error.losses.length;
      if (!force && other && servers.some(server => server.name === name)) {
        // Nothing runs on the one that is there, but it is another: it is asked all the same.
        const { message, hint, code } = error;
        const losses = [trans.__('Server %1 as it is', name)];
        throw new ProblemError({ message, hint, code, losses }, error.status);
      }
      throw error;
    }
  };

  return (
    <Form
      title={trans.__('Start a server')}
      submit={trans.__('Start')}
      check={check}
      action={start}
      done={done}
      cancel={done}
    >
      {profiles.several && (
        <Field
          label={trans.__('Name')}
          fault={faults.name}
          help={trans.__('“default” serves all sessions that have no server of their own.')}
        >
          {given => (
            <input
              {...given}
              type="text"
              name="name"
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
              value={form.name}
              onChange={event => change({ name: event.target.value })}
            />
          )}
        </Field>
      )}
      {profiles.profiles.length > 1 && (
        <Field label={trans.__('Profile')} help={profile?.description}>
          {given => (
            <select
              {...given}
              name="profile"
              value={form.profile}
              onChange={event => change({ profile: event.target.value })}
            >
              {profiles.profiles.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {profile?.fields.map(field => (
        <Option
          key={`${profile.name} ${field.name}`}
          field={field}
          value={form.options[field.name] ?? ''}
          fault={faults[`option:${field.name}`]}
          change={value => change({ options: { ...form.options, [field.name]: value } })}
        />
      ))}
      {profiles.requirements && (
        <Field
          label={trans.__('Packages')}
          fault={faults.requirements}
          help={trans.__('One a line, as in a requirements file: numpy>=2. May stay empty.')}
        >
          {given => (
            <textarea
              {...given}
              name="requirements"
              rows={3}
              autoCapitalize="none"
              spellCheck={false}
              value={form.requirements}
              onChange={event => change({ requirements: event.target.value })}
            />
          )}
        </Field>
      )}
    </Form>
  );
}

/** Something of a profile that can be chosen; what is left empty is as the profile has it. */
function Option(props: {
  field: IField;
  value: string;
  fault?: string;
  change: (value: string) => void;
}): React.JSX.Element {
  const { trans } = usePanel();
  const { field, value, fault, change } = props;
  const most =
    field.maximum && field.kind !== 'text'
      ? trans.__('At most %1.', `${field.maximum} ${field.unit}`.trim())
      : '';
  return (
    <Field
      label={
        field.unit && field.unit.toLowerCase() !== field.title.toLowerCase()
          ? trans.__('%1 (%2)', field.title, field.unit)
          : field.title
      }
      fault={fault}
      help={[field.help, most].filter(Boolean).join(' ')}
    >
      {given =>
        field.choices.length ? (
          <select
            {...given}
            name={field.name}
            value={value}
            onChange={event => change(event.target.value)}
          >
            <option value="">
              {field.default
                ? trans.__('as usual: %1', field.default)
                : trans.__('as the profile has it')}
            </option>
            {field.choices
              .filter(choice => choice !== field.default)
              .map(choice => (
                <option key={choice} value={choice}>
                  {choice}
                </option>
              ))}
          </select>
        ) : (
          <input
            {...given}
            // Not a number field: that hides what cannot be read, and turns with the wheel.
            type="text"
            inputMode={
              { text: 'text', number: 'decimal', integer: 'numeric' }[field.kind] as 'text'
            }
            name={field.name}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            placeholder={field.default}
            value={value}
            onChange={event => change(event.target.value)}
          />
        )
      }
    </Field>
  );
}
