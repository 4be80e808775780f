import { Clipboard } from '@jupyterlab/apputils';
import { useCallback } from 'react';

import { usePanel } from '../context';

/** Return what puts code into the user's notebook, or into the clipboard if none is open. */
export function useInsert(): (code: string) => void {
  const { notebooks, say, trans } = usePanel();
  return useCallback(
    (code: string) => {
      if (notebooks.insert(code)) {
        return; // the notebook has the focus now, and shows it
      }
      Clipboard.copyToSystem(code);
      say(trans.__('No notebook is open, so the code was copied: paste it into a cell.'));
    },
    [notebooks, say, trans]
  );
}
