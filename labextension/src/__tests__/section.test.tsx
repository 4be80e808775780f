import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import React from 'react';

import { Section } from '../parts/section';
import { TestPanel } from './panel';

const section = (
  <Section name="some" title="Some">
    inside
  </Section>
);

afterEach(() => localStorage.clear());

it('opens and closes, and remembers it', () => {
  const panel = new TestPanel();
  const { unmount } = render(panel.with(section));
  const button = screen.getByRole('button', { name: 'Some' });
  expect(button.getAttribute('aria-expanded')).toBe('true');
  fireEvent.click(button);
  expect(screen.queryByText('inside')).toBeNull();
  unmount();
  render(panel.with(section));
  expect(screen.getByRole('button', { name: 'Some' }).getAttribute('aria-expanded')).toBe('false');
});

it('opens when the user is led there, and has the focus', () => {
  const panel = new TestPanel();
  render(panel.with(section));
  const button = screen.getByRole('button', { name: 'Some' });
  fireEvent.click(button);
  act(() => panel.reveal.emit({ section: 'some' }));
  expect(button.getAttribute('aria-expanded')).toBe('true');
  expect(document.activeElement).toBe(button);
});

it('has the focus when what had it within is gone', async () => {
  const panel = new TestPanel();
  const holding = (there: boolean): React.JSX.Element =>
    panel.with(
      <Section name="some" title="Some">
        {there && <button type="button">inner</button>}
      </Section>
    );
  const { rerender } = render(holding(true));
  screen.getByRole('button', { name: 'inner' }).focus();
  rerender(holding(false));
  await waitFor(() =>
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Some' }))
  );
});
