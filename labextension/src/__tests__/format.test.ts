import { bytes, bytesOf, duration, elapsed, moment, size } from '../format';

it.each([
  [-3, '0:00'],
  [7.9, '0:07'],
  [125, '2:05'],
  [3723, '1:02:03'],
  [3 * 86_400 + 4 * 3600 + 300, '3 d 04:05']
])('tells %d seconds that go on as %s', (seconds, text) => {
  expect(elapsed(seconds)).toBe(text);
});

it.each([
  [0.1234, '0.12 s'],
  [7, '7 s'],
  [59.6, '60 s'],
  [120, '2 min'],
  [5400, '1.5 h'],
  [259_200, '3 d']
])('tells a length of %d seconds as %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [999.6, '1.0 kB'],
  [3_400_000, '3.4 MB'],
  [10_000_000_000, '10 GB'],
  [1e18, '1000 PB']
])('tells %d bytes as %s', (count, text) => {
  expect(bytes(count)).toBe(text);
});

it('tells a part and the whole in the same unit', () => {
  const of = (part: string, whole: string): string => `${part} of ${whole}`;
  expect(bytesOf(1_300_000_000, 8_000_000_000, of)).toBe('1.3 of 8 GB');
  expect(bytesOf(52_000_000, 8_000_000_000, of)).toBe('0.1 of 8 GB');
  expect(bytesOf(2 ** 29, 2 ** 32, of)).toBe('0.5 of 4 GiB');
  expect(bytesOf(3e8, 2 ** 29, of)).toBe('286 of 512 MiB');
  expect(bytesOf(12, 500, of)).toBe('12 of 500 B');
});

it('tells the date of a moment unless that is today', () => {
  const now = Date.now() / 1000;
  expect(moment(now, 'en')).not.toMatch(/[A-Z][a-z]{2} \d/);
  expect(moment(now - 40 * 86_400, 'en')).toMatch(/[A-Z][a-z]{2} \d/);
});

it.each([
  [4 * 2 ** 30, '4 GiB'],
  [1.5 * 2 ** 30, '1.5 GiB'],
  [512 * 2 ** 20, '512 MiB'],
  [4_000_000_000, '4.0 GB'],
  [0, '0 B']
])('tells a size of %d bytes as %s', (count, text) => {
  expect(size(count)).toBe(text);
});
