import type { IPiece } from '../messages';

/** Lines in a block: what changes is drawn by blocks. */
const BLOCK = 100;
/** Blocks that are kept; older ones go. */
const BLOCKS = 40;
/** Characters of a line that are kept. */
const LONGEST = 8_000;
/** Characters that are looked at of what comes at once; of more, only the end can be seen. */
const MOST = 256_000;
/** Characters that an escape sequence may have when its end has not come yet. */
const OPEN = 256;

export interface ISpan {
  readonly text: string;
  readonly classes: string;
}

export interface ILine {
  readonly spans: readonly ISpan[];
}

export interface IBlock {
  readonly key: number;
  readonly lines: readonly ILine[];
}

/** Sequences of colours (1: parameters), of everything else, line ends, control characters. */
const MARKS =
  /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\`-~]|\r?\n|\r|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
/** A sequence whose end is still to come. */
const UNENDED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$|\r$/;

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const SWITCHES: Record<number, [on: string[], off: string[]]> = {
  1: [['bold'], []],
  2: [['dim'], []],
  3: [['italic'], []],
  4: [['underline'], []],
  7: [['marked'], []],
  9: [['strike'], []],
  22: [[], ['bold', 'dim']],
  23: [[], ['italic']],
  24: [[], ['underline']],
  27: [[], ['marked']],
  29: [[], ['strike']],
  49: [[], ['marked']]
};

/**
 * What a terminal would show of a text that grows, as far as a log needs it: colours, and lines
 * that are written over. Of what is long, the end.
 */
export class Terminal {
  /** Characters that were shown, and are not any more. */
  get dropped(): number {
    return this._dropped;
  }

  /** The lines; what did not change is the same object as before. */
  get blocks(): readonly IBlock[] {
    const rest = this._line.length ? [...this._lines, { spans: [...this._line] }] : this._lines;
    return rest.length ? [...this._full, { key: this._key, lines: [...rest] }] : this._full;
  }

  /** All of it without colours. */
  get text(): string {
    return this.blocks
      .flatMap(block => block.lines.map(line => line.spans.map(span => span.text).join('')))
      .join('\n');
  }

  take(pieces: readonly IPiece[]): void {
    let left = pieces.reduce((sum, piece) => sum + piece.text.length, 0);
    for (const { kind, text } of pieces) {
      const skip = Math.min(text.length, Math.max(0, left - MOST));
      left -= text.length;
      this._dropped += skip;
      this._turn(kind);
      this._read(skip ? text.slice(skip) : text);
    }
  }

  /** A traceback, or a word about a figure, has lines of its own. */
  private _turn(kind: IPiece['kind']): void {
    if (kind === this._kind) {
      return;
    }
    const apart = (some: IPiece['kind']): boolean => some === 'error' || some === 'display';
    if (apart(kind) || apart(this._kind)) {
      this._held = '';
      this._fg = '';
      this._on.clear();
      if (this._line.length) {
        this._end();
      }
    }
    this._kind = kind;
    this._restyle();
  }

  private _read(more: string): void {
    let text = this._held + more;
    this._held = UNENDED.exec(text.slice(-OPEN))?.[0] ?? '';
    text = text.slice(0, text.length - this._held.length);
    let from = 0;
    for (const mark of text.matchAll(MARKS)) {
      this._write(text.slice(from, mark.index));
      from = mark.index + mark[0].length;
      if (mark[1] !== undefined) {
        this._dress(mark[1].split(/[;:]/).map(Number));
      } else if (mark[0].endsWith('\n')) {
        this._end();
      } else if (mark[0] === '\r') {
        this._returned = true;
      }
    }
    this._write(text.slice(from));
  }

  private _write(text: string): void {
    if (!text) {
      return;
    }
    if (this._returned) {
      this._clear();
    }
    const room = LONGEST - this._length;
    if (room <= 0) {
      this._dropped += text.length;
      return;
    }
    const kept = text.length > room ? `${text.slice(0, room)}…` : text;
    this._dropped += text.length > room ? text.length - room : 0;
    this._length += kept.length;
    const last = this._line[this._line.length - 1];
    if (last?.classes === this._classes) {
      this._line[this._line.length - 1] = { text: last.text + kept, classes: last.classes };
    } else {
      this._line.push({ text: kept, classes: this._classes });
    }
  }

  private _end(): void {
    this._lines.push({ spans: this._line });
    this._clear();
    if (this._lines.length < BLOCK) {
      return;
    }
    this._full = [...this._full, { key: this._key, lines: this._lines }];
    this._key += 1;
    this._lines = [];
    if (this._full.length > BLOCKS) {
      const [gone, ...kept] = this._full;
      this._full = kept;
      for (const line of gone.lines) {
        this._dropped += line.spans.reduce((sum, span) => sum + span.text.length, 1);
      }
    }
  }

  private _clear(): void {
    this._line = [];
    this._length = 0;
    this._returned = false;
  }

  private _dress(codes: number[]): void {
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at];
      if (code === 0) {
        this._fg = '';
        this._on.clear();
      } else if (SWITCHES[code]) {
        SWITCHES[code][0].forEach(name => this._on.add(name));
        SWITCHES[code][1].forEach(name => this._on.delete(name));
      } else if (code === 39) {
        this._fg = '';
      } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
        this._fg = COLOURS[code % 10];
      } else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) {
        this._on.add('marked'); // a colour behind any other could make it unreadable
      } else if (code === 38 || code === 48) {
        const wide = codes[at + 1] === 2;
        const given = codes.slice(at + 2, at + (wide ? 5 : 3));
        if (code === 38) {
          this._fg = wide ? nearest(given) : indexed(given[0]);
        } else {
          this._on.add('marked');
        }
        at += wide ? 4 : 2;
      }
    }
    this._restyle();
  }

  private _restyle(): void {
    const names = [...(this._fg ? [this._fg] : []), ...[...this._on].sort()];
    const kind = this._kind === 'stdout' ? [] : [`rexec-Log-${this._kind}`];
    this._classes = [...kind, ...names.map(name => `rexec-Ansi-${name}`)].join(' ');
  }

  private _full: readonly IBlock[] = [];
  private _lines: ILine[] = [];
  private _line: ISpan[] = [];
  private _length = 0;
  private _returned = false;
  private _held = '';
  private _kind: IPiece['kind'] = 'stdout';
  private _fg = '';
  private _on = new Set<string>();
  private _classes = '';
  private _key = 0;
  private _dropped = 0;
}

/** Of the 256 colours of terminals. */
function indexed(index: number): string {
  if (index < 16) {
    return COLOURS[index % 8] ?? '';
  }
  const cube = index - 16;
  return index < 232 ? nearest([cube / 36, (cube / 6) % 6, cube % 6].map(Math.floor)) : '';
}

/** The theme's colour that is most like one of red, green and blue; none for a grey. */
function nearest(parts: readonly number[]): string {
  const [red = 0, green = 0, blue = 0] = parts;
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (!(most - least > most / 4)) {
    return '';
  }
  const middle = (most + least) / 2;
  return COLOURS[Number(red > middle) + 2 * Number(green > middle) + 4 * Number(blue > middle)];
}
