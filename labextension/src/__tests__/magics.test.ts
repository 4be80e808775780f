import {
  lineToInstall,
  lineToStart,
  lineToUse,
  quoted,
  requirementsIn,
  sessionOn
} from '../magics';
import { server, session } from './samples';

describe('lines for a notebook', () => {
  it.each([
    ['train', 'train'],
    ['numpy==2.1', 'numpy==2.1'],
    ['numpy>=2', "'numpy>=2'"],
    ['two words', "'two words'"],
    ["it's", `'it'"'"'s'`],
    ['$HOME; {x} `ls`', "'$HOME; {x} `ls`'"],
    ['ניתוח', "'ניתוח'"],
    ['', "''"]
  ])('quote %j as a shell reads it', (word, told) => expect(quoted(word)).toBe(told));

  it('choose a session', () => {
    expect(lineToUse('train')).toBe('%rexec use train');
    expect(lineToUse('-my own')).toBe("%rexec use -- '-my own'");
  });

  it('start one with packages', () => {
    expect(lineToStart('train', ['numpy>=2', 'pandas'])).toBe(
      "%rexec start train -r 'numpy>=2' pandas"
    );
    expect(lineToStart('train', [])).toBe('%rexec start train');
  });

  it('install packages for one', () => {
    expect(lineToInstall('two words', ['a[b]'])).toBe("%rexec install 'a[b]' -s 'two words'");
    expect(lineToInstall('-x', ['a'])).toBe('%rexec install a --session=-x');
  });
});

it('reads requirements without comments', () => {
  expect(requirementsIn('# all\nnumpy>=2  # new\n\n pandas \na#b')).toEqual([
    'numpy>=2',
    'pandas',
    'a#b'
  ]);
});

it('names the session of a server', () => {
  const one = session({ name: 'one', server: 'train' });
  const own = session({ name: 'train', server: 'train' });
  const ended = session({ name: 'ended', server: 'train', state: 'stopped' });
  const other = session({ name: 'other', server: 'default' });
  expect(sessionOn(server(), [ended, other, one, own])).toBe('train');
  expect(sessionOn(server(), [ended, other, one])).toBe('one');
  expect(sessionOn(server(), [ended, other])).toBe('train');
});
