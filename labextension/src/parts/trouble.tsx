import { Dialog, showDialog } from '@jupyterlab/apputils';
import React from 'react';

import { ProblemError } from '../api';
import { usePanel } from '../context';

type Forceable<T> = (force: boolean) => Promise<T>;

/**
 * Return what tries something: if it would lose something, the user is asked; what else goes wrong
 * is said.
 */
export function useTrouble(): <T>(attempt: Forceable<T>) => Promise<T | undefined> {
  const { say, trans } = usePanel();

  return async attempt => {
    try {
      return await attempt(false);
    } catch (error) {
      if (!(error instanceof ProblemError) || !error.losses.length) {
        say(told(error), 'error');
        return undefined;
      }
      const answer = await showDialog({
        title: trans.__('This would be lost'),
        body: <Losses problem={error} />,
        buttons: [
          Dialog.cancelButton({ label: trans.__('Keep it') }),
          Dialog.warnButton({ label: trans.__('Do it all the same') })
        ],
        defaultButton: 0
      });
      if (!answer.button.accept) {
        return undefined;
      }
    }
    try {
      return await attempt(true);
    } catch (error) {
      say(told(error), 'error');
      return undefined;
    }
  };
}

function Losses(props: { problem: ProblemError }): React.JSX.Element {
  return (
    <>
      <p>{props.problem.message}</p>
      <ul className="rexec-Losses">
        {props.problem.losses.map(loss => (
          <li key={loss}>
            <bdi>{loss}</bdi>
          </li>
        ))}
      </ul>
    </>
  );
}

/** Return what went wrong and what to do, for people. */
export function told(error: unknown): string {
  if (error instanceof ProblemError) {
    const code = error.code ? `[${error.code}] ` : '';
    return `${code}${error.message} ${error.hint}`.trim();
  }
  return error instanceof Error ? error.message : String(error);
}
