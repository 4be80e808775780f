import type { TranslationBundle } from '@jupyterlab/translation';

import type { IField, IProfile, IProfiles, IWanted } from './messages';

/** What stands in the form that starts a server. */
export interface IServerForm {
  readonly name: string;
  readonly profile: string;
  readonly requirements: string;
  /** By the fields' names; what is empty is left to the profile. */
  readonly options: Readonly<Record<string, string>>;
}

/** What is wrong, by the field: `name`, `requirements`, or `option:NAME`. */
export type Faults = Readonly<Record<string, string>>;

const NAME = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;
const SESSION_LENGTH = 64;
/** As Python's `str.isprintable` has it. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
/** Lines whose faults are told; the server tells of the rest. */
const TOLD = 3;

export function profileOf(form: IServerForm, { profiles }: IProfiles): IProfile | undefined {
  return profiles.find(each => each.name === form.profile) ?? profiles[0];
}

export function faultsOf(form: IServerForm, profiles: IProfiles, trans: TranslationBundle): Faults {
  const faults: Record<string, string> = {};
  if (profiles.several) {
    const fault = nameFault(form.name.trim(), trans);
    if (fault) {
      faults.name = fault;
    }
  }
  for (const field of profileOf(form, profiles)?.fields ?? []) {
    const fault = optionFault(field, form.options[field.name] ?? '', trans);
    if (fault) {
      faults[`option:${field.name}`] = fault;
    }
  }
  const fault = profiles.requirements ? requirementsFault(form.requirements, trans) : '';
  if (fault) {
    faults.requirements = fault;
  }
  return faults;
}

/** Return what to ask for; the form has no faults. */
export function wantedBy(form: IServerForm, profiles: IProfiles): IWanted {
  const profile = profileOf(form, profiles);
  const options: Record<string, string | number> = {};
  for (const field of profile?.fields ?? []) {
    const text = (form.options[field.name] ?? '').trim();
    if (text) {
      options[field.name] = field.kind === 'text' ? text : scaled(numberIn(text), field.factor);
    }
  }
  return {
    ...(profiles.several ? { name: form.name.trim() } : {}),
    ...(profile ? { profile: profile.name } : {}),
    // All lines, for the server tells of them by their numbers.
    requirements: profiles.requirements ? linesOf(form.requirements) : [],
    options
  };
}

/** Return why a session cannot have a name; empty if it can. */
export function sessionFault(name: string, trans: TranslationBundle): string {
  if (!name) {
    return trans.__('Give it a name.');
  }
  if (Array.from(name).length > SESSION_LENGTH) {
    return trans.__('A name has at most %1 characters.', SESSION_LENGTH);
  }
  return UNPRINTABLE.test(name)
    ? trans.__('The name has a character that cannot be seen; write it anew.')
    : '';
}

/** Return why packages cannot be asked for; empty if they can. */
export function packagesFault(packages: readonly string[], trans: TranslationBundle): string {
  return packages.length
    ? requirementsFault(packages.join('\n'), trans)
    : trans.__('Name at least one package.');
}

function nameFault(name: string, trans: TranslationBundle): string {
  if (!name) {
    return trans.__('Give it a name.');
  }
  return NAME.test(name)
    ? ''
    : trans.__(
        'A name has lower-case letters, digits and “-” within, up to 40 of them, such as train-2.'
      );
}

function optionFault(field: IField, given: string, trans: TranslationBundle): string {
  const text = given.trim();
  if (!text) {
    return '';
  }
  if (field.choices.length) {
    return field.choices.includes(text)
      ? ''
      : trans.__('There is only: %1.', field.choices.join(', '));
  }
  if (field.kind === 'text') {
    return '';
  }
  const number = numberIn(text);
  if (Number.isNaN(number)) {
    return field.kind === 'integer'
      ? trans.__('“%1” is no number; write it in digits, such as 2.', text)
      : trans.__('“%1” is no number; write it in digits, such as 2 or 0.5.', text);
  }
  if (field.kind === 'integer' && !Number.isInteger(number)) {
    return trans.__('Only whole numbers can be had, such as %1.', Math.ceil(number));
  }
  if (field.maximum && number > field.maximum) {
    return trans.__('The most there is: %1.', `${field.maximum} ${field.unit}`.trim());
  }
  return '';
}

function requirementsFault(text: string, trans: TranslationBundle): string {
  const faults: string[] = [];
  linesOf(text).forEach((line, index) => {
    const bare = line.replace(/(^|\s)#.*/, '').trim();
    const number = index + 1;
    if (bare.startsWith('-')) {
      faults.push(
        trans.__('Line %1: options such as %2 are not taken.', number, bare.split(/[\s=]/)[0])
      );
    } else if (bare && !/^[a-z0-9]/i.test(bare)) {
      faults.push(
        trans.__('Line %1: “%2” is no package; write it like numpy>=2.', number, bare.slice(0, 40))
      );
    }
  });
  return faults.slice(0, TOLD).join('\n');
}

function linesOf(text: string): string[] {
  return text.trimEnd() ? text.trimEnd().split(/\r?\n/) : [];
}

/** Read a number as people write it, with a point or a comma; NaN if it is none. */
function numberIn(text: string): number {
  return /^(\d+([.,]\d*)?|[.,]\d+)$/.test(text) ? Number(text.replace(',', '.')) : NaN;
}

/** What is counted in larger units is sent in whole small ones: bytes, seconds. */
function scaled(number: number, factor: number): number {
  return factor === 1 ? number : Math.round(number * factor);
}
