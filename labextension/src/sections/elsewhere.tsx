import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useReducer } from 'react';

import { useKnown, usePanel, type IOwner } from '../context';
import type { IElsewhere } from '../messages';
import { ActionButton } from '../parts/button';
import { Announcer } from '../parts/row';

/** Notebooks whose cells run at another backend than the one that the panel shows. */
export function ElsewhereList(): React.JSX.Element {
  const { api, notebooks, trans } = usePanel();
  const elsewhere = useKnown(known => known.elsewhere);
  const readOnly = useKnown(known => known.readOnly);
  const told = useKnown(known => known.told);
  const [, renew] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    notebooks.ownersChanged.connect(renew);
    return () => void notebooks.ownersChanged.disconnect(renew);
  }, [notebooks]);
  const lines = elsewhere.map(each => ({
    ...each,
    text: textOf(each, notebooks.ownerOf(each.kernel), trans)
  }));
  const label = trans.__('Notebooks that run elsewhere');
  return (
    <>
      <Announcer
        known={told}
        texts={Object.fromEntries(lines.map(({ kernel, url, text }) => [`${kernel} ${url}`, text]))}
      />
      {lines.length > 0 && (
        <>
          <p className="rexec-Label">{label}</p>
          <ul className="rexec-Others" aria-label={label}>
            {lines.map(({ kernel, url, text }) => (
              <li key={kernel}>
                <bdi>{text}</bdi>
                {url && !readOnly && (
                  <span className="rexec-Buttons">
                    <ActionButton
                      label={trans.__('Show it here')}
                      description={trans.__(
                        'Use %1 from now on, here and in notebooks without a backend of their own',
                        nameOf(url, trans)
                      )}
                      action={() => api.use(url)}
                    />
                  </span>
                )}
              </li>
            ))}
          </ul>
          <p className="rexec-Quiet">
            {trans.__(
              'What a notebook has set itself goes before what is chosen here. “%%rexec config url default” in the notebook takes it back.'
            )}
          </p>
        </>
      )}
    </>
  );
}

function textOf({ url }: IElsewhere, owner: IOwner, trans: TranslationBundle): string {
  const whose = owner.name
    ? `“${owner.name}”`
    : owner.kind === 'console'
      ? trans.__('A console')
      : trans.__('A notebook');
  return url
    ? trans.__('%1 uses %2 instead', whose, nameOf(url, trans))
    : trans.__('%1 names a backend that cannot be used; its next remote cell tells why', whose);
}

function nameOf(url: string, trans: TranslationBundle): string {
  return url === 'local' ? trans.__('this computer') : url;
}
