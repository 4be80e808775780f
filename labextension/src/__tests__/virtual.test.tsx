import { act, fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { VirtualList } from '../parts/virtual';

/** As they are taken to be where nothing can be measured. */
const ROW = 48;
const VIEW = 400;

function names(count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => `r${index + first}`);
}

function list(items: readonly string[]): React.JSX.Element {
  return (
    <VirtualList items={items} keyOf={item => item} label="Rows" empty={<p>none</p>}>
      {item => (
        <>
          <button>{item}</button>
          <button>{`end ${item}`}</button>
        </>
      )}
    </VirtualList>
  );
}

function button(name: string): HTMLElement {
  return screen.getByRole('button', { name });
}

function scroller(): HTMLElement {
  const [box] = document.getElementsByClassName('rexec-Virtual');
  return box as HTMLElement;
}

function press(key: string): void {
  fireEvent.keyDown(document.activeElement ?? document.body, { key });
}

function focused(): string | null {
  return (document.activeElement ?? document.body).textContent;
}

it('has few rows in the page, which say their places among all', () => {
  render(list(names(5000)));
  const rows = screen.getAllByRole('listitem');
  expect(rows.length).toBeLessThan(30);
  expect(rows[3].getAttribute('aria-posinset')).toBe('4');
  expect(rows[3].getAttribute('aria-setsize')).toBe('5000');
  expect(screen.getByRole('list', { name: 'Rows' }).style.height).toBe(`${5000 * ROW}px`);
});

it('has those in the page that are looked at', () => {
  render(list(names(5000)));
  scroller().scrollTop = 1000 * ROW;
  fireEvent.scroll(scroller());
  expect(button('r1000')).toBeTruthy();
  expect(button(`r${1000 + VIEW / ROW - 1}`.replace(/\..*/, ''))).toBeTruthy();
  expect(screen.queryByRole('button', { name: 'r900' })).toBeNull();
});

it('is one stop of the Tab key, and keys go from row to row', () => {
  render(list(names(500)));
  expect(screen.getAllByRole('button').filter(each => each.tabIndex === 0)).toHaveLength(2);
  act(() => button('r0').focus());
  press('ArrowDown');
  expect(focused()).toBe('r1');
  press('ArrowRight');
  expect(focused()).toBe('end r1');
  press('ArrowUp');
  expect(focused()).toBe('r0');
  press('ArrowUp');
  expect(focused()).toBe('r0');
  press('End');
  expect(focused()).toBe('r499');
  expect(scroller().scrollTop).toBe(500 * ROW - VIEW);
  press('PageUp');
  expect(focused()).toBe('r492');
  press('Home');
  expect(focused()).toBe('r0');
  expect(scroller().scrollTop).toBe(0);
  expect(button('r0').tabIndex).toBe(0);
  expect(button('r1').tabIndex).toBe(-1);
});

it('keeps in the page what has the focus', () => {
  render(list(names(500)));
  act(() => button('r2').focus());
  scroller().scrollTop = 300 * ROW;
  fireEvent.scroll(scroller());
  expect(focused()).toBe('r2');
  press('ArrowDown');
  expect(focused()).toBe('r3');
  expect(scroller().scrollTop).toBe(3 * ROW);
});

it('keeps the focus when rows come, move and go', () => {
  const { rerender } = render(list(names(50)));
  act(() => button('end r5').focus());
  rerender(list(['new', ...names(50)]));
  expect(focused()).toBe('end r5');
  rerender(list([...names(5), ...names(44, 6), 'r5']));
  expect(focused()).toBe('end r5');
  rerender(list(['r5', ...names(5), ...names(44, 6)]));
  expect(focused()).toBe('end r5');
  // It goes: its neighbour has it.
  rerender(list([...names(5), ...names(44, 6)]));
  expect(focused()).toBe('r0');
  rerender(list(names(3)));
  expect(focused()).toBe('r0');
  rerender(list([]));
  expect(document.activeElement).toBe(scroller());
  expect(screen.getByText('none')).toBeTruthy();
});

it('goes to the neighbour of a row that went', () => {
  const { rerender } = render(list(names(50)));
  act(() => button('r5').focus());
  rerender(list([...names(5), ...names(44, 6)]));
  expect(focused()).toBe('r6');
  rerender(list(names(4)));
  expect(focused()).toBe('r3');
});

it('takes the focus from nobody', () => {
  const { rerender } = render(
    <>
      <input aria-label="other" />
      {list(names(50))}
    </>
  );
  act(() => button('r5').focus());
  act(() => screen.getByLabelText('other').focus());
  rerender(
    <>
      <input aria-label="other" />
      {list(names(3))}
    </>
  );
  expect(document.activeElement).toBe(screen.getByLabelText('other'));
});

it('leaves what is looked at where it is when rows come and go above it', () => {
  const { rerender } = render(list(names(500)));
  scroller().scrollTop = 100 * ROW + 7;
  fireEvent.scroll(scroller());
  rerender(list(['a', 'b', ...names(500)]));
  expect(scroller().scrollTop).toBe(102 * ROW + 7);
  rerender(list(names(490, 10)));
  expect(scroller().scrollTop).toBe(90 * ROW + 7);
  // The first that is seen went to the end; the others stay.
  rerender(list([...names(90, 10), ...names(399, 101), 'r100']));
  expect(scroller().scrollTop).toBe(89 * ROW + 7);
  expect(button('r105')).toBeTruthy();
});

it('shows new rows at the top to who is there', () => {
  const { rerender } = render(list(names(500)));
  rerender(list(['a', ...names(500)]));
  expect(scroller().scrollTop).toBe(0);
  expect(button('a')).toBeTruthy();
});
