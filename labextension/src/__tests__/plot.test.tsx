import { act, render, screen } from '@testing-library/react';
import React from 'react';

import type { IUsage } from '../messages';
import { ceiling, path } from '../parts/plot';
import { UsageSection } from '../sections/usage';
import { TestPanel } from './panel';

const GB = 1_000_000_000;

function usage(server: string, at: number, cores: number, memory: number, more = {}): IUsage {
  return { server, at, cores, memory, cores_limit: 0, memory_limit: 0, ...more };
}

it('draws the newest at the right, a limit at the top', () => {
  const [{ line, from }] = path(
    [
      [0, 0],
      [30, 2],
      [60, 4]
    ],
    4
  );
  expect(line).toBe('M0.0 30.0L50.0 15.0L100.0 0.0');
  expect(from).toBe('0.0');
  expect(path([[0, 9]], 4)[0].line).toBe('M100.0 0.0');
  expect(path([], 4)).toEqual([]);
});

it('does not join what is far apart, and leaves out what is long ago', () => {
  expect(
    path(
      [
        [0, 1],
        [5, 1],
        [100, 1]
      ],
      4
    )
  ).toHaveLength(2);
  expect(
    path(
      [
        [0, 1],
        [10_000, 1]
      ],
      4
    )
  ).toHaveLength(1);
});

it.each([
  [0, 1],
  [0.03, 0.05],
  [1, 1],
  [1.2, 2],
  [700, 1000],
  [NaN, 1]
])('has for %d the scale %d', (value, scale) => {
  expect(ceiling(value)).toBeCloseTo(scale, 9);
});

it('tells in words what servers take', () => {
  const panel = new TestPanel();
  render(panel.with(<UsageSection />));
  act(() => panel.store.take({ type: 'news', now: 1 }));
  expect(screen.getByText(/Nothing is known/)).toBeTruthy();
  const limits = { cores_limit: 4, memory_limit: 8 * GB };
  act(() =>
    panel.store.take({
      type: 'news',
      now: 2,
      usage: [
        usage('train', 1, 0.5, GB),
        usage('train', 2, 1.23, 1.3 * GB, limits),
        usage('b', 2, 0.5, GB)
      ]
    })
  );
  const [b, train] = screen.getAllByRole('listitem');
  expect(train.textContent).toBe('trainCPU1.2 of 4 coresMemory1.3 of 8 GB');
  expect(b.textContent).toBe('bCPU0.5 coresMemory1.0 GB');
});

it('goes when the server goes', () => {
  const panel = new TestPanel();
  render(panel.with(<UsageSection />));
  act(() => panel.store.take({ type: 'news', now: 1, usage: [usage('a', 1, 1, GB)] }));
  expect(screen.getAllByRole('listitem')).toHaveLength(1);
  act(() => panel.store.take({ type: 'news', now: 2, servers: [] }));
  expect(screen.queryByRole('listitem')).toBeNull();
});
