// Where agents are between two measurements.

/** {from, to, share}: the times around `timeUs` and how far along it is. */
export function around(timesUs, timeUs) {
  if (!timesUs.length) return null;
  let to = timesUs.findIndex((time) => time >= timeUs);
  if (to < 0) to = timesUs.length - 1;
  const from = Math.max(0, to - 1);
  const long = timesUs[to] - timesUs[from];
  return { from, to, share: long > 0 ? Math.max(0, Math.min(1, (timeUs - timesUs[from]) / long)) : 0 };
}

function turn(a, b) {
  const by = b - a;
  return Math.atan2(Math.sin(by), Math.cos(by));
}

/** A state [x, y, yaw] between two, or the one that is known when the time is near it; else null. */
export function between(states, { from, to, share }) {
  const [a, b] = [states[from], states[to]];
  if (a && b) {
    return [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * turn(a[2], b[2])];
  }
  return share < 0.5 ? (a ?? null) : (b ?? null);
}
