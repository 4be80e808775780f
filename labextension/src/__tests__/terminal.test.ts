import type { IPiece } from '../messages';
import { Terminal } from '../parts/terminal';

function shown(...pieces: (string | [IPiece['kind'], string])[]): Terminal {
  const terminal = new Terminal();
  for (const piece of pieces) {
    const [kind, text] = typeof piece === 'string' ? (['stdout', piece] as const) : piece;
    terminal.take([{ kind, text }]);
  }
  return terminal;
}

function spans(terminal: Terminal): [string, string][] {
  return terminal.blocks.flatMap(block =>
    block.lines.flatMap(line =>
      line.spans.map(({ text, classes }): [string, string] => [text, classes])
    )
  );
}

it('shows lines, and one that has not ended', () => {
  expect(shown('a\nb\r\n\nc').text).toBe('a\nb\n\nc');
  expect(shown('a\n').text).toBe('a');
  expect(shown('').blocks).toEqual([]);
  expect(shown('a', 'b\nc', 'd').text).toBe('ab\ncd');
});

it('shows of a line that was written over what was written last', () => {
  expect(shown('10%\r20%\r30%').text).toBe('30%');
  expect(shown('10%\r', '20%\r', '\n').text).toBe('20%');
  expect(shown('\r 1 of 2', '\r 2 of 2', '\ndone').text).toBe(' 2 of 2\ndone');
  expect(shown('end\r', '\nnext').text).toBe('end\nnext');
});

it('gives colours the names that the theme has for them', () => {
  expect(spans(shown('a\x1b[31mb\x1b[1mc\x1b[0md'))).toEqual([
    ['a', ''],
    ['b', 'rexec-Ansi-red'],
    ['c', 'rexec-Ansi-red rexec-Ansi-bold'],
    ['d', '']
  ]);
  expect(spans(shown('\x1b[92mx\x1b[39my\x1b[4;9mz\x1b[24mw\x1b[m.'))).toEqual([
    ['x', 'rexec-Ansi-green'],
    ['y', ''],
    ['z', 'rexec-Ansi-strike rexec-Ansi-underline'],
    ['w', 'rexec-Ansi-strike'],
    ['.', '']
  ]);
});

it.each([
  ['38;5;9', 'rexec-Ansi-red'],
  ['38;5;27', 'rexec-Ansi-blue'],
  ['38;5;244', ''],
  ['38;2;250;20;10', 'rexec-Ansi-red'],
  ['38;2;220;210;0', 'rexec-Ansi-yellow'],
  ['38;2;128;128;128', ''],
  ['38;5', ''],
  ['48;2;1;2;3', 'rexec-Ansi-marked'],
  ['7', 'rexec-Ansi-marked'],
  ['38;5;1;4', 'rexec-Ansi-red rexec-Ansi-underline'],
  ['999;;x', '']
])('takes %s for %s', (codes, classes) => {
  expect(spans(shown(`\x1b[${codes}m!`)).pop()?.[1]).toBe(classes);
});

it('joins sequences that came in parts', () => {
  expect(spans(shown('a\x1b', '[3', '1mb'))).toEqual([
    ['a', ''],
    ['b', 'rexec-Ansi-red']
  ]);
  expect(shown('a\x1b]0;tit', 'le\x07b').text).toBe('ab');
});

it('drops all that is not text', () => {
  expect(shown('a\x1b[2Kb\x1b[Ac\x1b[?25ld').text).toBe('abcd');
  expect(shown('\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\').text).toBe('link');
  expect(shown('a\x00\x07\x08\x9bb\tc\x1b').text).toBe('ab\tc');
  expect(shown(`\x1b]${'x'.repeat(1000)}`, 'y\n').text).not.toContain('\x1b');
});

it('tells kinds apart, and begins what is not written by the code on a line of its own', () => {
  const terminal = shown('out ', ['stderr', 'err'], ['display', 'a figure'], 'more\x1b[31m', [
    'error',
    'Traceback\nValueError'
  ]);
  expect(terminal.text).toBe('out err\na figure\nmore\nTraceback\nValueError');
  expect(spans(terminal).map(([, classes]) => classes)).toEqual([
    '',
    'rexec-Log-stderr',
    'rexec-Log-display',
    '',
    'rexec-Log-error',
    'rexec-Log-error'
  ]);
});

it('keeps the last lines only, and says how much it dropped', () => {
  const terminal = new Terminal();
  let all = 0;
  for (let part = 0; part < 100; part++) {
    const text = Array.from({ length: 1000 }, (_, index) => `line ${part}.${index}\n`).join('');
    all += text.length;
    terminal.take([{ kind: 'stdout', text }]);
  }
  const lines = terminal.text.split('\n');
  expect(lines.length).toBeGreaterThan(3_900);
  expect(lines.length).toBeLessThan(4_200);
  expect(lines[lines.length - 1]).toBe('line 99.999');
  expect(terminal.dropped + terminal.text.length + 1).toBe(all);
});

it('is quick with much at once, and with a line without end', () => {
  const much = 'x'.repeat(99) + '\n';
  const began = performance.now();
  const terminal = shown(much.repeat(500_000), 'y'.repeat(20_000_000));
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(terminal.text.length).toBeLessThan(1_000_000);
  expect(terminal.dropped).toBeGreaterThan(69_000_000);
});

it('leaves what did not change the same object', () => {
  const terminal = shown('a\n'.repeat(250));
  const before = terminal.blocks;
  terminal.take([{ kind: 'stdout', text: 'b\n' }]);
  const after = terminal.blocks;
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
  expect(after[2].lines[0]).toBe(before[2].lines[0]);
  expect(after[2]).not.toBe(before[2]);
});
