import React, { useLayoutEffect, useRef } from 'react';

/** Pixels from its end within which somebody who scrolls still reads the end. */
const NEAR = 12;

/** A text that grows and stays scrolled to its end, unless somebody scrolls away from there. */
export function GrowingText(props: { label: string; lines: readonly string[] }): React.JSX.Element {
  const { label, lines } = props;
  const box = useRef<HTMLPreElement>(null);
  const stays = useRef(true);

  useLayoutEffect(() => {
    if (stays.current && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [lines]);

  return (
    <pre
      ref={box}
      className="rexec-Text"
      // Not a live region: it would be read out without end. The keyboard can scroll it.
      role="region"
      aria-label={label}
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        stays.current = scrollHeight - scrollTop - clientHeight < NEAR;
      }}
    >
      {lines.join('\n')}
    </pre>
  );
}
