// The hits that are shown: asked for whenever the state asks for others.

import { postJson } from "./api.js";
import { keep, kept } from "./kept.js";
import { getState, onState } from "./state.js";

const QUERY = ["text", "where", "like", "unlike", "by", "lasso", "image", "each"];
const CLIPS_A_HIT = 12;
/** Neighbours merge to intervals; on a small index a long list would merge to whole logs. */
const LEAST = 6;
const MOST = 60;
/** Of the server, for one answer; a Selection holds as many as one likes. */
const LIMIT = 200;

let results = { status: "loading", hits: [], query: null, kind: "search", tookMs: null, error: null, note: null };
let asking = null;
let top = MOST;
let [steps, asked] = [1, 0];
const listeners = [];

export const getResults = () => results;
export function onResults(act) {
  listeners.push(act);
}

function show(changes) {
  results = { ...results, ...changes };
  for (const act of listeners) act(results);
}

/** What kind of list a state asks for. */
export function kindOf(state) {
  if (state.lasso) return "lasso";
  return state.by === "marks" && state.up.length ? "marks" : "search";
}

/** The image of a query stays in this browser, as the server's own saved query. */
export const keepImage = (name, query) => keep(`image.${name}`, query.image, "sessionStorage");

/** How many hits, and whether neighbours are one: each clip by itself never merges to whole logs. */
const amount = (state) => ({
  top: Math.min(LIMIT, steps * (state.each ? MOST : top)),
  ...(state.each ? { merge: false } : {}),
});

function searchBody(state) {
  const body = amount(state);
  if (state.image) {
    const image = kept(`image.${state.image}`, "sessionStorage");
    if (!image) throw new Error(`The image ${state.image} is not part of the link. Drop it on the page again.`);
    body.query = { format: 1, image };
    for (const name of ["text", "where"]) if (state[name]) body.query[name] = state[name];
    for (const name of ["like", "unlike"]) if (state[name].length) body.query[name] = state[name];
    return body;
  }
  for (const name of ["text", "where"]) if (state[name].trim()) body[name] = state[name];
  for (const name of ["like", "unlike"]) if (state[name].length) body[name] = state[name];
  return body;
}

export const polygonOf = (lasso) => lasso.split(";").map((point) => point.split(",").map(Number));

/** What training takes of the state. */
export function trainBody(state) {
  const body = { relevant: state.up, not_relevant: state.down, ...amount(state) };
  if (state.where.trim()) body.where = state.where;
  return body;
}

function ask(state, signal) {
  const kind = kindOf(state);
  if (kind === "lasso") return postJson("/api/map/lasso", { polygon: polygonOf(state.lasso), ...amount(state) }, signal);
  if (kind === "marks") return postJson("/api/train", trainBody(state), signal);
  return postJson("/api/search", searchBody(state), signal);
}

/** Ask for the hits of the present state. */
export async function load() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const state = getState();
  asked = amount(state).top;
  show({ status: "loading", error: null, kind: kindOf(state) });
  try {
    const found = await ask(state, signal);
    if (signal.aborted) return;
    const { hits, query = null, took_ms: tookMs = null } = found;
    show({ status: "ready", hits, query, tookMs, note: found });
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    show({ status: "error", hits: [], query: null, error, note: null });
  }
}

/** "more" where a longer list would show others; "each" where it would only merge to whole logs; null at its end. */
export function whatFollows() {
  if (results.hits.length < asked || asked >= LIMIT) return null;
  return getState().each || top === MOST ? "more" : "each";
}

/** As many again, below those that are shown. */
export function loadMore() {
  steps += 1;
  return load();
}

export function startResults(info) {
  top = Math.min(MOST, Math.max(LEAST, Math.round(info.clips / CLIPS_A_HIT)));
  onState((state, changed) => {
    if (!QUERY.some((name) => changed.has(name))) return;
    steps = 1;
    load();
  });
  return load();
}
