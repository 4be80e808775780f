import React from 'react';

import { useKnown } from '../context';

/** Stands, quietly, where there will be something as soon as anything is told. */
export function Skeleton(props: { lines: number }): React.JSX.Element {
  const comes = useKnown(known => known.contact === 'connecting' || known.contact === 'live');
  return (
    <div className="rexec-Skeleton" aria-hidden="true">
      {comes && Array.from({ length: props.lines }, (_, index) => <span key={index} />)}
    </div>
  );
}
