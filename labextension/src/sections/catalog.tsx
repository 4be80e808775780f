import React, { memo, useCallback, useEffect, useRef, useState, type FormEvent } from 'react';

import { ProblemError } from '../api';
import { useKnown, usePanel } from '../context';
import { bytes } from '../format';
import type { ICatalogs, IDataset, IFound, IResource } from '../messages';
import { PlainButton } from '../parts/button';
import { useInsert } from '../parts/insert';
import { Section } from '../parts/section';
import { Skeleton } from '../parts/skeleton';
import { told } from '../parts/trouble';

/** Datasets of a page. */
const PAGE = 20;
/** Characters of a dataset's notes that are shown. */
const NOTES = 240;

type Name = ICatalogs['names'][number];

/** What was asked for, and what was found so far. */
interface ISearch {
  q: string;
  where: Name;
  datasets: readonly IDataset[];
  /** How many were told of, of which some may have been told twice. */
  told: number;
  total: number;
  more: boolean;
}

/** The catalogs of data: search one, insert the code that loads something. */
export function Catalog(): React.JSX.Element {
  const { trans } = usePanel();
  const state = useSearch();
  return (
    <Section name="catalog" title={trans.__('Data catalog')} closed>
      <Search {...state} />
    </Section>
  );
}

interface ISearching {
  /** What there is to choose from; nothing as long as that is not known. */
  names: readonly Name[];
  where: Name;
  found: ISearch | null;
  busy: boolean;
  trouble: string;
  learn: (signal: AbortSignal) => void;
  choose: (where: Name, q: string) => void;
  search: (q: string) => void;
  next: () => void;
}

/** What outlives the section's being closed. */
function useSearch(): ISearching {
  const { api } = usePanel();
  const url = useKnown(known => known.connection?.url ?? '');
  const [names, setNames] = useState<readonly Name[]>([]);
  const [chosen, setChosen] = useState<Name>('local');
  const [all, setFound] = useState<ISearch | null>(null);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState('');
  const earlier = useRef<AbortController | null>(null);
  const where = names.length === 0 || names.includes(chosen) ? chosen : names[0];
  const found = all?.where === where ? all : null;

  // Another endpoint has other catalogs.
  useEffect(() => {
    return () => {
      earlier.current?.abort();
      setNames([]);
      setChosen('local');
      setFound(null);
      setBusy(false);
      setTrouble('');
    };
  }, [url]);

  const learn = useCallback(
    (signal: AbortSignal) =>
      void api.catalogs(signal).then(
        told => !signal.aborted && setNames(told.names),
        () => undefined // the search tells what is wrong
      ),
    [api]
  );

  const ask = async (q: string, place: Name, before: ISearch | null): Promise<void> => {
    earlier.current?.abort();
    const asking = new AbortController();
    earlier.current = asking;
    setBusy(true);
    setTrouble('');
    if (!names.length) {
      learn(asking.signal);
    }
    try {
      const page = await api.search(q, place, before?.told ?? 0, PAGE, asking.signal);
      if (!asking.signal.aborted) {
        setFound(joined(q, place, before, page));
      }
    } catch (error) {
      if (!asking.signal.aborted) {
        setTrouble(error instanceof ProblemError ? told(error) : String(error));
      }
    } finally {
      if (earlier.current === asking) {
        setBusy(false);
      }
    }
  };

  return {
    names,
    where,
    found,
    busy,
    trouble,
    learn,
    choose: (place, q) => {
      setChosen(place);
      // Who has searched already wants to know what is there.
      if (found || busy || trouble) {
        void ask(q, place, null);
      }
    },
    search: q => void ask(q, where, null),
    next: () => found && !busy && void ask(found.q, found.where, found)
  };
}

/** What was found with what came now, each of it once: meanwhile some may have moved. */
function joined(q: string, where: Name, before: ISearch | null, page: IFound): ISearch {
  const known = new Set(before?.datasets.map(({ name }) => name));
  const fresh = page.datasets.filter(({ name }) => !known.has(name));
  return {
    q,
    where,
    datasets: [...(before?.datasets ?? []), ...fresh],
    told: (before?.told ?? 0) + page.datasets.length,
    total: page.total,
    more: page.more && fresh.length > 0
  };
}

function Search(props: ISearching): React.JSX.Element {
  const { trans, reveal } = usePanel();
  const { names, where, found, busy, trouble, learn, choose, search, next } = props;
  const connection = useKnown(known => known.connection);
  const [q, setQ] = useState(found?.q ?? '');
  const list = useRef<HTMLUListElement>(null);
  const insert = useInsert();

  const { backend, url, state } = connection ?? { backend: 'embedded', url: '', state: 'stopped' };
  const unknown = backend === 'endpoint' && state !== 'login' && !names.length;
  // Whenever things stand otherwise it may tell what it could not.
  useEffect(() => {
    const asking = new AbortController();
    if (unknown) {
      learn(asking.signal);
    }
    return () => asking.abort();
  }, [unknown, state, url, learn]);

  if (!connection) {
    return <Skeleton lines={1} />;
  }
  if (connection.state === 'stopped' || connection.state === 'login') {
    const here = connection.state === 'stopped';
    return (
      <>
        <p className="rexec-Empty">
          {here
            ? trans.__('The backend of this computer has a catalog of its own, while it runs.')
            : trans.__('Who is logged in can search the catalog of the endpoint.')}
        </p>
        <PlainButton
          label={here ? trans.__('To the backend') : trans.__('Log in…')}
          act={() => reveal.emit({ section: 'connection', ...(here ? {} : { subject: 'login' }) })}
        />
      </>
    );
  }
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    search(q.trim());
  };
  const more = (): void => {
    // The button may go; who pressed it goes on reading after what was there.
    list.current?.querySelector<HTMLElement>(':scope > li:last-child')?.focus();
    next();
  };
  return (
    <div className="rexec-Catalog">
      <form
        className="rexec-Catalog-form"
        role="search"
        aria-label={trans.__('Data catalog')}
        onSubmit={submit}
      >
        {names.length > 1 && (
          <select
            className="rexec-Input"
            aria-label={trans.__('Which catalog')}
            value={where}
            onChange={event => choose(event.target.value as Name, q.trim())}
          >
            {names.map(name => (
              <option key={name} value={name}>
                {called(name, trans)}
              </option>
            ))}
          </select>
        )}
        <input
          className="rexec-Input"
          type="search"
          aria-label={trans.__('Search the data catalog')}
          placeholder={trans.__('Search data…')}
          value={q}
          onChange={event => setQ(event.target.value)}
        />
        <button type="submit" className="rexec-Button">
          {trans.__('Search')}
        </button>
      </form>
      <p className="rexec-Quiet rexec-Catalog-said" role="status">
        {busy ? trans.__('Searching…') : trouble ? '' : words(found, trans)}
      </p>
      {trouble && (
        <p className="rexec-Catalog-trouble" role="alert">
          {trouble}
        </p>
      )}
      {found && found.datasets.length > 0 && (
        <>
          <ul className="rexec-Datasets" role="list" ref={list} aria-busy={busy}>
            {found.datasets.map(dataset => (
              <Dataset key={dataset.name} dataset={dataset} insert={insert} />
            ))}
          </ul>
          {found.more && (
            <button type="button" className="rexec-Button" aria-disabled={busy} onClick={more}>
              {trans.__('Show more')}
            </button>
          )}
        </>
      )}
    </div>
  );
}

function called(name: Name, trans: ReturnType<typeof usePanel>['trans']): string {
  switch (name) {
    case 'local':
      return trans.__('This endpoint');
    case 'global':
      return trans.__('Global catalog');
    case 'pre_ckan':
      return trans.__('To be published');
  }
}

function words(found: ISearch | null, trans: ReturnType<typeof usePanel>['trans']): string {
  if (!found) {
    return trans.__('Words of a title, a description or a tag; nothing at all lists everything.');
  }
  const count = found.datasets.length;
  if (!count) {
    return found.q
      ? trans.__('Nothing was found for “%1”. Try fewer or other words.', found.q)
      : trans.__('The catalog is empty.');
  }
  if (found.total > count) {
    return trans.__('%1 of %2 datasets', count, found.total);
  }
  return found.more
    ? trans.__('The first %1 datasets', count)
    : trans._n('%1 dataset', '%1 datasets', count);
}

const Dataset = memo(function Dataset(props: {
  dataset: IDataset;
  insert: (code: string) => void;
}): React.JSX.Element {
  const { trans } = usePanel();
  const { dataset, insert } = props;
  const title = dataset.title || dataset.name;
  const notes = trimmed(dataset.notes);
  return (
    <li className="rexec-Dataset" tabIndex={-1}>
      <div className="rexec-Dataset-title">
        <bdi>{title}</bdi>
      </div>
      {dataset.organization && (
        <bdi className="rexec-Dataset-organization">{dataset.organization}</bdi>
      )}
      {notes && (
        <p className="rexec-Dataset-notes" dir="auto">
          {notes}
        </p>
      )}
      {dataset.resources.length ? (
        <ul className="rexec-Resources" role="list">
          {dataset.resources.map((resource, index) => (
            <Resource key={index} resource={resource} title={title} insert={insert} />
          ))}
        </ul>
      ) : (
        <p className="rexec-Quiet">{trans.__('It has no files.')}</p>
      )}
    </li>
  );
});

function Resource(props: {
  resource: IResource;
  title: string;
  insert: (code: string) => void;
}): React.JSX.Element {
  const { trans } = usePanel();
  const { resource, title, insert } = props;
  const about = [resource.format, resource.size > 0 ? bytes(resource.size) : '']
    .filter(Boolean)
    .join(', ');
  const name = resource.name || resource.url || trans.__('a file');
  return (
    <li className="rexec-Resource">
      <span className="rexec-Resource-about" title={resource.url || undefined}>
        <bdi>{name}</bdi> {about && <span className="rexec-Quiet">{about}</span>}
      </span>
      <button
        type="button"
        className="rexec-Button"
        aria-disabled={!resource.code}
        aria-label={trans.__('Insert the code that loads %1 of %2', name, title)}
        title={resource.code || trans.__('No code is known that loads this.')}
        onClick={() => resource.code && insert(resource.code)}
      >
        {trans.__('Insert code')}
      </button>
    </li>
  );
}

/** The beginning of a text, as one paragraph. */
function trimmed(notes: string): string {
  const text = notes.replace(/\s+/g, ' ').trim();
  return text.length > NOTES ? `${text.slice(0, NOTES).replace(/\S*$/, '').trimEnd()}…` : text;
}
