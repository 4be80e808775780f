// Made by scripts/panel_types.py from rexec_jupyter/labapp/messages.py, which explains all of it.

export const PROTOCOL = 1;

/** How the panel stands with its backend. */
export interface IConnection {
  backend: 'embedded' | 'endpoint';
  url: string;
  state: 'stopped' | 'login' | 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'failed';
  text: string;
  hint: string;
  code: string;
  user: string;
  logins: string[];
  kept: boolean;
  programs: number;
  pages: Record<string, string>;
}

/** A kernel whose cells run at another backend than the one that is shown. */
export interface IElsewhere {
  kernel: string;
  url: string;
}

/** Something that somebody should do something about. */
export interface IAlert {
  key: string;
  severity: 'error' | 'warning' | 'info';
  cause: string;
  hint: string;
  code: string;
  action: '' | 'login' | 'restart' | 'extend' | 'log' | 'install-log';
  subject: string;
}

/** One server of the user, whoever started it. */
export interface IServer {
  name: string;
  state: string;
  phase: string;
  profile: string;
  python: string;
  cpu: number;
  memory: number;
  gpu: number;
  slots: number;
  running: number;
  queued: number;
  ends: number;
  requirements: string[];
  facts: Record<string, string>;
  can: string[];
}

/** One session, as ``%rexec sessions`` tells it. */
export interface ISession {
  name: string;
  state: string;
  running: string;
  queued: number;
  started: number;
  idle_since: number;
  server: string;
}

/** One job, whoever submitted it. */
export interface IJob {
  id: string;
  name: string;
  session: string;
  kind: string;
  state: string;
  open: boolean;
  submitted: number;
  started: number;
  ended: number;
  line: string;
  percent: number;
}

/** What a server takes at a moment. */
export interface IUsage {
  server: string;
  at: number;
  cores: number;
  cores_limit: number;
  memory: number;
  memory_limit: number;
}

/** All there is to see; `usage` are the last few minutes, the oldest first. */
export interface IState {
  connection: IConnection;
  elsewhere: IElsewhere[];
  alerts: IAlert[];
  servers: IServer[];
  sessions: ISession[];
  jobs: IJob[];
  usage: IUsage[];
}

/** First message. */
export interface IHello {
  type: 'hello';
  protocol: number;
  version: string;
  now: number;
  read_only: boolean;
}

/** What changed: each list is whole, but for jobs and usage. */
export interface INews {
  type: 'news';
  now: number;
  connection?: IConnection;
  elsewhere?: IElsewhere[];
  alerts?: IAlert[];
  servers?: IServer[];
  sessions?: ISession[];
  jobs?: IJob[];
  gone?: string[];
  all_jobs?: boolean;
  usage?: IUsage[];
  installing?: Record<string, string[]>;
}

/** Nothing happened for a while. */
export interface IBeat {
  type: 'beat';
  now: number;
}

/** Address of an endpoint, or ``local``. */
export interface IChoice {
  url: string;
}

/** Address of an endpoint; empty for all. */
export interface IPlace {
  url?: string;
}

/** A token, or a name and a password for which the endpoint gives one. */
export interface ICredentials {
  url: string;
  token?: string;
  username?: string;
  password?: string;
  use?: boolean;
}

/** Whether it is done even if something is lost. */
export interface IForce {
  force?: boolean;
}

/** The kernel spec whose Python runs the backend if none runs yet; empty for the usual one. */
export interface IStart {
  kernel?: string;
}

/** For how long no clock may end it. */
export interface IExtension {
  seconds: number;
}

/** The name of a session. */
export interface INamed {
  name: string;
}

/** A server. */
export interface IWanted {
  name?: string;
  profile?: string;
  requirements?: string[];
  options?: Record<string, string | number | boolean>;
  force?: boolean;
}

/** It is done, or begun; what there is to say about it, for people. */
export interface IDone {
  text: string;
}

/** Why not: cause, next step, stable code, and what would be lost. */
export interface IProblem {
  message: string;
  hint: string;
  code: string;
  losses: string[];
}

/** One field of a form. */
export interface IField {
  name: string;
  title: string;
  kind: 'text' | 'number' | 'integer';
  help: string;
  default: string;
  maximum: number;
  unit: string;
  factor: number;
  choices: string[];
}

/** A kind of server, and what of it can be chosen. */
export interface IProfile {
  name: string;
  description: string;
  fields: IField[];
}

/** All kinds, the one for who names none first. */
export interface IProfiles {
  profiles: IProfile[];
  several: boolean;
  requirements: boolean;
}

/** Lines, and whether more come. */
export interface IText {
  lines: string[];
  going_on: boolean;
}

/** Something that a job has shown. */
export interface IPiece {
  kind: 'stdout' | 'stderr' | 'error' | 'display';
  text: string;
}

/** A part of what a job has shown. */
export interface ILog {
  pieces: IPiece[];
  next: number;
  size: number;
  skipped: number;
  known: boolean;
  ended: boolean;
  state: string;
}

/** The catalogs that can be searched. */
export interface ICatalogs {
  names: ('local' | 'global' | 'pre_ckan')[];
}

/** One resource of a dataset. */
export interface IResource {
  name: string;
  format: string;
  url: string;
  size: number;
  code: string;
}

/** One dataset of the catalog. */
export interface IDataset {
  name: string;
  title: string;
  notes: string;
  organization: string;
  resources: IResource[];
}

/** What a search found. */
export interface IFound {
  datasets: IDataset[];
  total: number;
  more: boolean;
}

export type StreamMessage = IHello | INews | IBeat;
