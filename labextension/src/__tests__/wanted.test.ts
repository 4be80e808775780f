import { nullTranslator } from '@jupyterlab/translation';

import type { IField, IProfiles } from '../messages';
import { faultsOf, packagesFault, sessionFault, wantedBy, type IServerForm } from '../wanted';

const trans = nullTranslator.load('rexec_jupyter');

function field(about: Partial<IField>): IField {
  return {
    ...{ name: 'cpu', title: 'Cores', kind: 'number', help: '', default: '', maximum: 0 },
    ...{ unit: '', factor: 1, choices: [] },
    ...about
  };
}

const PROFILES: IProfiles = {
  profiles: [
    {
      name: 'small',
      description: '',
      fields: [
        field({ maximum: 4, unit: 'cores' }),
        field({ name: 'memory', unit: 'GiB', factor: 2 ** 30, maximum: 8 }),
        field({ name: 'gpu', kind: 'integer', maximum: 2 }),
        field({ name: 'idle_timeout', unit: 'minutes', factor: 60 }),
        field({ name: 'image', kind: 'text', choices: ['base', 'geo'] })
      ]
    },
    { name: 'large', description: '', fields: [] }
  ],
  several: true,
  requirements: true
};

function form(about: Partial<IServerForm> = {}): IServerForm {
  return { name: 'train', profile: 'small', requirements: '', options: {}, ...about };
}

describe('the form of a server', () => {
  it('multiplies by the factors, and leaves out what is empty', () => {
    const options = { cpu: ' 0,5 ', memory: '1.5', gpu: '', idle_timeout: '90', image: 'geo' };
    expect(wantedBy(form({ options }), PROFILES)).toEqual({
      name: 'train',
      profile: 'small',
      requirements: [],
      options: { cpu: 0.5, memory: 1.5 * 2 ** 30, idle_timeout: 5400, image: 'geo' }
    });
  });

  it('asks for whole bytes and seconds', () => {
    const { options } = wantedBy(form({ options: { memory: '0.1' } }), PROFILES);
    expect(options).toEqual({ memory: 107374182 });
  });

  it('keeps the numbers of lines, for the server tells of them by these', () => {
    const requirements = '# what we need\n\nnumpy>=2\r\npandas\n\n';
    expect(wantedBy(form({ requirements }), PROFILES).requirements).toEqual([
      '# what we need',
      '',
      'numpy>=2',
      'pandas'
    ]);
  });

  it('leaves to the backend what cannot be chosen there', () => {
    const alone = { ...PROFILES, several: false, requirements: false };
    const given = form({ name: '', requirements: '-x', profile: 'large' });
    expect(faultsOf(given, alone, trans)).toEqual({});
    expect(wantedBy(given, alone)).toEqual({ profile: 'large', requirements: [], options: {} });
  });

  it('does not send what another profile had', () => {
    const given = form({ profile: 'large', options: { cpu: 'many' } });
    expect(faultsOf(given, PROFILES, trans)).toEqual({});
    expect(wantedBy(given, PROFILES).options).toEqual({});
  });

  it.each([
    ['cpu', 'many', 'is no number'],
    ['cpu', '-1', 'is no number'],
    ['cpu', '1e9', 'is no number'],
    ['cpu', '4.1', 'The most there is: 4 cores.'],
    ['memory', '9', 'The most there is: 8 GiB.'],
    ['gpu', '1.5', 'Only whole numbers can be had, such as 2.'],
    ['gpu', 'one', 'such as 2.'],
    ['image', 'other', 'There is only: base, geo.']
  ])('refuses %s %s', (name, text, told) => {
    const faults = faultsOf(form({ options: { [name]: text } }), PROFILES, trans);
    expect(Object.keys(faults)).toEqual([`option:${name}`]);
    expect(faults[`option:${name}`]).toContain(told);
  });

  it.each(['', '  ', 'Train', 'a b', '-a', 'a-', 'é', 'x'.repeat(41)])(
    'refuses the name “%s”',
    name => expect(Object.keys(faultsOf(form({ name }), PROFILES, trans))).toEqual(['name'])
  );

  it.each(['default', 'train-2', '7', 'x'.repeat(40)])('takes the name %s', name =>
    expect(faultsOf(form({ name }), PROFILES, trans)).toEqual({})
  );

  it('tells which lines are no requirements', () => {
    const requirements = 'numpy\n--find-links=wheels # no\n>=2\n  # fine\ngit+x @ y\n-r a\n-e b';
    const told = faultsOf(form({ requirements }), PROFILES, trans).requirements;
    expect(told.split('\n')).toEqual([
      'Line 2: options such as --find-links are not taken.',
      'Line 3: “>=2” is no package; write it like numpy>=2.',
      'Line 6: options such as -r are not taken.'
    ]);
  });
});

describe('packages to add', () => {
  it('are at least one, and no options', () => {
    expect(packagesFault([], trans)).toBe('Name at least one package.');
    expect(packagesFault(['--pre'], trans)).toContain('--pre');
    expect(packagesFault(['numpy>=2', 'a[b]==1'], trans)).toBe('');
  });
});

describe('the name of a session', () => {
  it.each(['main', 'два слова', '<b>', '😀'.repeat(64)])('can be %s', name =>
    expect(sessionFault(name, trans)).toBe('')
  );

  it.each(['', 'x'.repeat(65), 'a\tb', 'a\u200bb', 'a\u00a0b', 'a\u2028b'])('cannot be %j', name =>
    expect(sessionFault(name, trans)).not.toBe('')
  );
});
