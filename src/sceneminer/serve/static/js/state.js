// What is looked at lives in the address, after '#': a link shows the same, back and forward work.

const TEXTS = ["text", "where", "view", "clip", "by", "lasso", "image", "each"];
const LISTS = ["like", "unlike", "up", "down"];
export const MAX_MARKS = 200;

function read() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const state = {};
  for (const name of TEXTS) state[name] = fields.get(name) ?? "";
  for (const name of LISTS) state[name] = (fields.get(name) ?? "").split(",").filter(Boolean).slice(0, MAX_MARKS);
  const t = Number(fields.get("t"));
  state.t = fields.has("t") && Number.isFinite(t) ? t : null;
  return state;
}

/** The address of a state, for links. */
export function hashOf(state) {
  const fields = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) fields.set(name, state[name]);
  for (const name of LISTS) if (state[name].length) fields.set(name, state[name].join(","));
  if (state.clip && state.t !== null) fields.set("t", String(state.t));
  return `#${fields.toString().replaceAll("%2C", ",")}`;
}

let now = read();
const listeners = [];

export const getState = () => now;

/** Call `act(state, changed)` after each change; `changed` is the set of names. */
export function onState(act) {
  listeners.push(act);
}

/** Change some of the state. `replace` leaves no step to go back to. */
export function setState(changes, { replace = false } = {}) {
  const next = { ...now, ...changes };
  const hash = hashOf(next);
  if (hash === hashOf(now)) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash === "#" ? location.pathname : hash);
  tell(next);
}

function tell(next) {
  const before = now;
  now = next;
  const changed = new Set([...TEXTS, ...LISTS, "t"].filter((name) => String(before[name]) !== String(next[name])));
  if (changed.size) for (const act of listeners) act(now, changed);
}

for (const event of ["popstate", "hashchange"]) window.addEventListener(event, () => tell(read()));
