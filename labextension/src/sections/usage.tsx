import React from 'react';

import { useKnown, usePanel } from '../context';
import { bytes, bytesOf } from '../format';
import type { IUsage } from '../messages';
import { Plot } from '../parts/plot';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';

/** What each server takes of its processors and memory. */
export function UsageSection(): React.JSX.Element {
  const { trans } = usePanel();
  return (
    <Section name="usage" title={trans.__('CPU and memory')}>
      <Usages />
    </Section>
  );
}

function Usages(): React.JSX.Element {
  const { trans } = usePanel();
  const told = useKnown(known => known.told);
  const usage = useKnown(known => known.usage);
  const known = [...usage].filter(([, points]) => points.length);
  if (!told) {
    return <Skeleton lines={2} />;
  }
  if (!known.length) {
    return (
      <p className="rexec-Empty">
        {trans.__('Nothing is known: a server tells what it takes while it runs.')}
      </p>
    );
  }
  return (
    <ul className="rexec-Usages" role="list">
      {known
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([server, points]) => (
          <Usage key={server} server={server} points={points} />
        ))}
    </ul>
  );
}

const Usage = React.memo(function Usage(props: {
  server: string;
  points: readonly IUsage[];
}): React.JSX.Element {
  const { trans } = usePanel();
  const { server, points } = props;
  const now = points[points.length - 1];
  const cores = now.cores.toFixed(1);
  const limit = Number(now.cores_limit.toFixed(2));
  return (
    <li className="rexec-Usage">
      <bdi className="rexec-Usage-server">{server}</bdi>
      <Plot
        label={trans.__('CPU')}
        text={
          limit > 0
            ? trans._n('%2 of %1 core', '%2 of %1 cores', limit, cores)
            : trans.__('%1 cores', cores)
        }
        points={points.map(point => [point.at, point.cores])}
        limit={now.cores_limit}
      />
      <Plot
        label={trans.__('Memory')}
        text={
          now.memory_limit > 0
            ? bytesOf(now.memory, now.memory_limit, (part, whole) =>
                trans.__('%1 of %2', part, whole)
              )
            : bytes(now.memory)
        }
        points={points.map(point => [point.at, point.memory])}
        limit={now.memory_limit}
      />
    </li>
  );
});
