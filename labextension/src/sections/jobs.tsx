import React, { useCallback, useEffect, useMemo, useRef, useState } from 'react';

import { useKnown, usePanel, useRevealed } from '../context';
import type { IJob } from '../messages';
import { Seen, useSeen } from '../parts/clock';
import { useInsert } from '../parts/insert';
import { JobRow, isFailed, jobName, shortId } from '../parts/job';
import { Log } from '../parts/log';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { VirtualList, type IVirtualList } from '../parts/virtual';

type Which = 'all' | 'open' | 'failed';

/** What is remembered of the job whose log is shown; the job itself may go. */
interface IShown {
  id: string;
  name: string;
}

/** All jobs, whoever submitted them, and the log of one. */
export function Jobs(): React.JSX.Element {
  const { store, trans } = usePanel();
  const jobs = useKnown(known => known.jobs);
  const told = useKnown(known => known.told);
  const [which, setWhich] = useState<Which>('all');
  const [text, setText] = useState('');
  const [shown, setShown] = useState<IShown | null>(null);

  useRevealed(
    'jobs',
    useCallback(
      subject => {
        const known = store.known.jobs;
        const job = known.find(each => each.id === subject);
        if (job) {
          setShown({ id: job.id, name: jobName(job, trans) });
        } else if (known.some(each => each.session === subject)) {
          setWhich('all');
          setText(subject);
        }
      },
      [store, trans]
    )
  );

  return (
    <Section name="jobs" title={trans.__('Jobs')} count={told ? jobs.length : undefined}>
      {!told ? (
        <Skeleton lines={2} />
      ) : jobs.length || shown ? (
        <Found {...{ jobs, which, setWhich, text, setText, shown, setShown }} />
      ) : (
        <p className="rexec-Empty">
          {trans.__('No jobs yet. Put %%%%rexec at the top of a cell of a notebook, and run it.')}
        </p>
      )}
    </Section>
  );
}

function Found(props: {
  jobs: readonly IJob[];
  which: Which;
  setWhich: (which: Which) => void;
  text: string;
  setText: (text: string) => void;
  shown: IShown | null;
  setShown: (shown: IShown | null) => void;
}): React.JSX.Element {
  const { store, trans } = usePanel();
  const { jobs, which, setWhich, text, setText, shown, setShown } = props;
  const readOnly = useKnown(known => known.readOnly);
  const insert = useInsert();
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<IVirtualList>(null);
  const seen = useSeen(box);
  const said = useSaid(which, text, jobs);

  const found = useMemo(() => matching(jobs, which, text), [jobs, which, text]);
  const counts = useMemo(
    () => ({
      open: matching(jobs, 'open', '').length,
      failed: matching(jobs, 'failed', '').length
    }),
    [jobs]
  );

  const log = useCallback(
    (job: IJob) => setShown({ id: job.id, name: jobName(job, trans) }),
    [setShown, trans]
  );
  const attach = useCallback(
    ({ id }: IJob) => {
      const alike = store.known.jobs.filter(job => job.id.startsWith(shortId(id)));
      insert(`%rexec attach ${alike.length > 1 ? id : shortId(id)}`);
    },
    [insert, store]
  );
  const close = (): void => {
    setShown(null);
    list.current?.focus(shown?.id ?? '');
  };

  return (
    <div className="rexec-Jobs" ref={box}>
      <div className="rexec-Jobs-filter" role="search" aria-label={trans.__('Jobs')}>
        <select
          className="rexec-Input"
          aria-label={trans.__('Which jobs')}
          value={which}
          onChange={event => setWhich(event.target.value as Which)}
        >
          <option value="all">{trans.__('All (%1)', jobs.length)}</option>
          <option value="open">{trans.__('Open (%1)', counts.open)}</option>
          <option value="failed">{trans.__('Failed (%1)', counts.failed)}</option>
        </select>
        <input
          className="rexec-Input"
          type="search"
          aria-label={trans.__('Jobs with this in their name, session or id')}
          placeholder={trans.__('Find…')}
          value={text}
          onChange={event => setText(event.target.value)}
        />
        <span className="rexec-Hidden" role="status">
          {said}
        </span>
      </div>
      <Seen.Provider value={seen}>
        <VirtualList
          ref={list}
          items={found}
          keyOf={keyOf}
          label={trans.__('Jobs')}
          empty={<p className="rexec-Empty">{trans.__('No job is like that.')}</p>}
        >
          {job => (
            <JobRow
              job={job}
              readOnly={readOnly}
              open={job.id === shown?.id}
              onLog={log}
              onAttach={attach}
            />
          )}
        </VirtualList>
      </Seen.Provider>
      {shown && <Log key={shown.id} id={shown.id} name={shown.name} onClose={close} />}
    </div>
  );
}

function keyOf(job: IJob): string {
  return job.id;
}

function matching(jobs: readonly IJob[], which: Which, text: string): readonly IJob[] {
  const wanted = text.trim().toLowerCase();
  if (which === 'all' && !wanted) {
    return jobs;
  }
  return jobs.filter(
    job =>
      (which === 'all' || (which === 'open' ? job.open : isFailed(job))) &&
      (!wanted ||
        [job.name, job.session, job.id, job.state].some(each =>
          each.toLowerCase().includes(wanted)
        ))
  );
}

/** What is said of a filter once it was changed; what jobs do by themselves is not read out. */
function useSaid(which: Which, text: string, jobs: readonly IJob[]): string {
  const { trans } = usePanel();
  const [said, setSaid] = useState('');
  const now = useRef(jobs);
  const changed = useRef(false);
  now.current = jobs;
  useEffect(() => {
    if (!changed.current) {
      changed.current = true; // nothing was changed yet
      return;
    }
    const count = matching(now.current, which, text).length;
    setSaid(trans._n('%1 job is shown', '%1 jobs are shown', count));
  }, [which, text, trans]);
  return said;
}
