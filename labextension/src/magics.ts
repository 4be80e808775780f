import type { IServer, ISession } from './messages';

/** What no shell takes for anything else. */
const PLAIN = /^[\w@%+=:,./-]+$/;

/** A word as POSIX shells, and `%rexec`, read it back. */
export function quoted(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function rexec(...words: string[]): string {
  return ['%rexec', ...words].join(' ');
}

/** A name in its place: one that begins like an option comes last, behind `--`. */
function withName(words: string[], name: string): string {
  return name.startsWith('-')
    ? rexec(...words, '--', quoted(name))
    : rexec(words[0], quoted(name), ...words.slice(1));
}

/** The line after which a notebook's cells run in a session. */
export function lineToUse(session: string): string {
  return withName(['use'], session);
}

/** The line that starts a session on a server that has some packages. */
export function lineToStart(name: string, requirements: readonly string[]): string {
  const packages = requirements.map(quoted);
  return withName(['start', ...(packages.length ? ['-r', ...packages] : [])], name);
}

/** The line that installs packages where a session runs; empty for the one that the notebook uses. */
export function lineToInstall(session: string, packages: readonly string[]): string {
  const words = ['install', ...packages.map(quoted)];
  if (!session) {
    return rexec(...words);
  }
  return session.startsWith('-')
    ? rexec(...words, `--session=${quoted(session)}`)
    : rexec(...words, '-s', quoted(session));
}

/** Requirements in a text: one a line, without comments. */
export function requirementsIn(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.replace(/(^|\s)#.*/, '').trim())
    .filter(line => line);
}

/** The session to name for what is to happen on a server. */
export function sessionOn(server: IServer, sessions: readonly ISession[]): string {
  const there = sessions.filter(each => each.server === server.name && each.state !== 'stopped');
  const found = there.find(each => each.name === server.name) ?? there[0];
  return found?.name ?? server.name;
}
