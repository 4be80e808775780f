import {
  checkIcon,
  circleEmptyIcon,
  closeIcon,
  errorIcon,
  launchIcon,
  runIcon,
  stopIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { memo } from 'react';

import { usePanel } from '../context';
import { duration, moment } from '../format';
import type { IJob } from '../messages';
import { ActionButton } from './button';
import { Elapsed } from './clock';

/** How many characters of an id people see. */
const SHORT = 8;
const WAITING = new Set(['waiting', 'queued', 'starting']);
const FAILED = new Set(['failed', 'crashed', 'lost', 'timed out']);

export function isFailed(job: IJob): boolean {
  return FAILED.has(job.state);
}

export function shortId(id: string): string {
  return id.slice(0, SHORT);
}

export function jobName(job: IJob, trans: TranslationBundle): string {
  return job.name || trans.__('job %1', shortId(job.id));
}

/** A job's state in words. */
export function jobState(state: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    waiting: trans.__('waiting'),
    queued: trans.__('queued'),
    starting: trans.__('starting'),
    running: trans.__('running'),
    streaming: trans.__('running'),
    interrupting: trans.__('interrupting'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled'),
    'timed out': trans.__('timed out'),
    crashed: trans.__('crashed'),
    lost: trans.__('lost')
  };
  return words[state] ?? state;
}

function icon(job: IJob): LabIcon {
  if (job.open) {
    return WAITING.has(job.state) ? circleEmptyIcon : runIcon;
  }
  return job.state === 'done' ? checkIcon : isFailed(job) ? errorIcon : stopIcon;
}

/** A row: what the job is and how it stands; pressed, it shows what the job printed. */
export const JobRow = memo(function JobRow(props: {
  job: IJob;
  readOnly: boolean;
  /** Whether its log is shown. */
  open: boolean;
  onLog: (job: IJob) => void;
  onAttach: (job: IJob) => void;
}): React.JSX.Element {
  const { api, trans } = usePanel();
  const { job, readOnly, open, onLog, onAttach } = props;
  const name = jobName(job, trans);
  const state = jobState(job.state, trans);
  const Icon = icon(job);
  const stoppable = job.open && !readOnly;
  return (
    <div className="rexec-Job" data-open={job.open} data-failed={isFailed(job)}>
      <Icon.react tag="span" className="rexec-Job-icon" elementSize="normal" aria-hidden="true" />
      <button
        type="button"
        className="rexec-Job-name"
        title={`${name}\n${times(job, trans)}`}
        aria-label={trans.__('Log of %1, %2 in session %3', name, state, job.session)}
        aria-pressed={open}
        onClick={() => onLog(job)}
      >
        <bdi>{name}</bdi>
      </button>
      <span className="rexec-Job-time">
        {job.open ? (
          <Elapsed since={job.started || job.submitted} />
        ) : (
          job.started > 0 && duration(Math.max(0, job.ended - job.started))
        )}
      </span>
      <span className="rexec-Job-about">
        <span className="rexec-Job-state">{state}</span>
        <bdi className="rexec-Job-session">{job.session}</bdi>
        {job.open && job.line && <bdi className="rexec-Job-line">{job.line}</bdi>}
      </span>
      <span className="rexec-Job-actions">
        <button
          type="button"
          className="rexec-Button rexec-mod-icon"
          title={trans.__('Attach: insert a cell that shows it')}
          aria-label={trans.__('Attach %1: insert a cell that shows it', name)}
          onClick={() => onAttach(job)}
        >
          <launchIcon.react tag="span" elementSize="normal" />
        </button>
        {stoppable && !WAITING.has(job.state) && (
          <ActionButton
            label={trans.__('Interrupt')}
            description={trans.__('Interrupt %1', name)}
            icon={stopIcon}
            action={() => api.interruptJob(job.id)}
          />
        )}
        {stoppable && (
          <span className="rexec-Job-cancel">
            <ActionButton
              label={trans.__('Cancel')}
              description={trans.__('Cancel %1', name)}
              icon={closeIcon}
              action={() => api.cancelJob(job.id)}
            />
          </span>
        )}
      </span>
      {job.open && job.percent >= 0 && (
        <div
          className="rexec-Job-progress"
          role="progressbar"
          aria-label={trans.__('Progress of %1', name)}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={job.percent}
        >
          <div style={{ width: `${job.percent}%` }} />
        </div>
      )}
    </div>
  );
});

function times(job: IJob, trans: TranslationBundle): string {
  const language = document.documentElement.lang || undefined;
  const lines = [trans.__('submitted %1', moment(job.submitted, language))];
  if (job.started) {
    lines.push(trans.__('started %1', moment(job.started, language)));
  }
  if (job.ended) {
    lines.push(trans.__('ended %1', moment(job.ended, language)));
  }
  return lines.join('\n');
}
