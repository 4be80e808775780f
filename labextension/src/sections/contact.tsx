import React from 'react';

import { useKnown, usePanel } from '../context';

/** Says what is wrong between this page and its Jupyter server, and what to do; else nothing. */
export function ContactBanner(): React.JSX.Element {
  const { trans, retry } = usePanel();
  const contact = useKnown(known => known.contact);
  const told = useKnown(known => known.told);
  const version = useKnown(known => known.version);
  const texts: Record<string, string> = {
    connecting: told ? '' : trans.__('Connecting…'),
    lost: trans.__('The Jupyter server cannot be reached; what is below may be old. Trying again…'),
    refused: trans.__(
      'The Jupyter server does not know this page any more. Load it again to log in.'
    ),
    missing: trans.__(
      'The Jupyter server runs without the rexec extension. Install rexec-jupyter where JupyterLab runs, and start JupyterLab again.'
    ),
    'other-version': trans.__(
      'This page is of another version than rexec %1 on the Jupyter server. Load it again; until then something may not work.',
      version
    )
  };
  const text = texts[contact] ?? '';
  // The region is always there: what is put into one that just appeared is not read out.
  return (
    <div className="rexec-Contact" role="status" aria-live="polite" data-contact={contact}>
      {text && (
        <div className="rexec-Contact-text">
          <span>{text}</span>
          {(contact === 'lost' || contact === 'missing') && (
            <button type="button" className="rexec-Button" onClick={retry}>
              {trans.__('Try again')}
            </button>
          )}
          {(contact === 'refused' || contact === 'other-version') && (
            <button type="button" className="rexec-Button" onClick={() => location.reload()}>
              {trans.__('Load again')}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
