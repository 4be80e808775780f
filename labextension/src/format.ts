/** `0:07`, `2:05`, `1:02:03`, `3 d 04:05`: what goes on, second by second. */
export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (part: number): string => String(part).padStart(2, '0');
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor((whole % 86_400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) {
    return `${days} d ${two(hours)}:${two(minutes)}`;
  }
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** `0.12 s`, `7 s`, `2 min`, `1.5 h`, `3 d`: how long something took, or has left. */
export function duration(seconds: number): string {
  if (seconds < 10) {
    return `${Number(seconds.toPrecision(2))} s`;
  }
  if (seconds < 60) {
    return `${Math.round(seconds)} s`;
  }
  if (seconds < 3600) {
    return `${Math.round(seconds / 60)} min`;
  }
  if (seconds < 86_400) {
    return `${Number((seconds / 3600).toFixed(1))} h`;
  }
  return `${Number((seconds / 86_400).toFixed(1))} d`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `12 B`, `3.4 MB`. */
export function bytes(count: number): string {
  let unit = 0;
  let amount = count;
  while (amount >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit && amount < 9.95 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[unit]}`;
}

/** `4 GiB`, `512 MiB`, or as `bytes`: what somebody set, in the unit they will have thought of. */
export function size(count: number): string {
  for (const [power, unit] of [
    [30, 'GiB'],
    [20, 'MiB']
  ] as const) {
    const amount = count / 2 ** power;
    if (amount >= 1 && Number.isInteger(amount * 4)) {
      return `${amount} ${unit}`;
    }
  }
  return bytes(count);
}

/** `1.3 of 8 GiB`: of how much how much, both in the unit that the whole has by itself. */
export function bytesOf(
  part: number,
  whole: number,
  of: (part: string, whole: string) => string
): string {
  const shown = size(whole).replace('.0 ', ' ');
  const [count, unit] = shown.split(' ');
  const amount = (part / whole) * Number(count);
  return of(unit !== 'B' && amount < 99.95 ? amount.toFixed(1) : String(Math.round(amount)), shown);
}

/** The time of day of a moment in seconds, with the date unless that is today. */
export function moment(seconds: number, language?: string): string {
  const then = new Date(seconds * 1000);
  const today = then.toDateString() === new Date().toDateString();
  return then.toLocaleString(language, {
    ...(today ? {} : { month: 'short', day: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
    ...(today ? { second: '2-digit' } : {})
  });
}
