import React from 'react';

const WIDTH = 100;
const HEIGHT = 30;
/** Seconds that a plot shows at least, and at most. */
const SPAN = [60, 600] as const;
/** Points that are further apart are not joined: nobody looked meanwhile. */
const APART = 30;
/** How much higher than what there was a plot is, if there is no limit: it would look full. */
const ROOM = 1.2;

/** A moment in seconds, and how much it was. */
export type Point = readonly [at: number, value: number];

/** A small picture of how something went; its newest value is told in words. */
export function Plot(props: {
  label: string;
  /** The newest value, in words. */
  text: string;
  points: readonly Point[];
  /** The most that there can be; 0 if nobody says. */
  limit: number;
}): React.JSX.Element {
  const { label, text, points, limit } = props;
  const parts = path(points, limit);
  return (
    <div className="rexec-Plot">
      <span className="rexec-Plot-label">{label}</span>
      <span className="rexec-Plot-text">{text}</span>
      <svg
        className="rexec-Plot-picture"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {parts.map((part, index) => (
          <React.Fragment key={index}>
            <path className="rexec-Plot-area" d={`${part.line}V${HEIGHT}H${part.from}Z`} />
            <path className="rexec-Plot-line" d={part.line} vectorEffect="non-scaling-stroke" />
          </React.Fragment>
        ))}
      </svg>
    </div>
  );
}

interface IPart {
  line: string;
  from: string;
}

/** The lines of a plot: the newest point is at the right, a limit at the top. */
export function path(points: readonly Point[], limit: number): IPart[] {
  if (!points.length) {
    return [];
  }
  const last = points[points.length - 1][0];
  const span = Math.min(SPAN[1], Math.max(SPAN[0], last - points[0][0]));
  const most = limit > 0 ? limit : ceiling(ROOM * Math.max(...points.map(([, value]) => value)));
  const parts: IPart[] = [];
  let before = -Infinity;
  for (const [at, value] of points) {
    if (last - at > span) {
      continue;
    }
    const x = (WIDTH * (1 - (last - at) / span)).toFixed(1);
    const y = (HEIGHT * (1 - Math.min(1, Math.max(0, value / most)))).toFixed(1);
    if (at - before > APART) {
      parts.push({ line: `M${x} ${y}`, from: x });
    } else {
      parts[parts.length - 1].line += `L${x} ${y}`;
    }
    before = at;
  }
  return parts;
}

/** The next of 1, 2, 5, 10, …: a plot's scale does not change with every point. */
export function ceiling(value: number): number {
  if (!(value > 0)) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find(step => step * power >= value) ?? 10) * power;
}
