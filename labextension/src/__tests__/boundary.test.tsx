import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { Boundary } from '../parts/boundary';
import { TestPanel } from './panel';

it('keeps what fails to itself, and tries it again', () => {
  let broken = true;
  const Part = (): React.JSX.Element => {
    if (broken) {
      throw new Error('of another shape');
    }
    return <p>whole</p>;
  };
  const silence = jest.spyOn(console, 'error').mockImplementation(() => undefined);
  render(
    new TestPanel().with(
      <>
        <Boundary>
          <Part />
        </Boundary>
        <p>beside it</p>
      </>
    )
  );
  silence.mockRestore();
  expect(screen.getByRole('alert').textContent).toContain('cannot be shown');
  expect(screen.getByText('beside it')).toBeTruthy();
  broken = false;
  fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
  expect(screen.getByText('whole')).toBeTruthy();
});
