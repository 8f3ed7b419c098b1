// Chips for the heads of this index: at least a half, at most a half, not asked for.

import { byId, el, replace } from "./dom.js";
import { loadFacets, onFacets } from "./facets.js";
import { few, words } from "./format.js";
import { getState, onState } from "./state.js";
import { shown, withRange } from "./where.js";

const HALF = 0.5;
const RANGES = { 0: [HALF, null], 1: [null, HALF], "-1": [null, null] };
const SAID = { 0: "not asked for", 1: "at least a half", "-1": "at most a half" };
let columns = [];
let put = null;

/** 1: from a half up, -1: up to a half, 0: not asked for. */
function wayOf(column) {
  const [low, high] = shown(getState().where).ranges[column] ?? [null, null];
  return low !== null ? 1 : high !== null ? -1 : 0;
}

function chip(column) {
  const name = words(column.replace(/^head_/, ""));
  return el("button", { type: "button", class: "chip tag", data: { column, name },
    on: { click: () => put(withRange(getState().where, column, ...RANGES[wayOf(column)])) } },
  name, el("span", { class: "count num" }));
}

function show() {
  byId("heads").hidden = !columns.length;
  for (const button of byId("heads").querySelectorAll("button")) {
    const way = wayOf(button.dataset.column);
    button.setAttribute("aria-pressed", way === 0 ? "false" : way === 1 ? "true" : "mixed");
    button.setAttribute("aria-label", `${button.dataset.name}: ${SAID[way]}`);
    button.title = SAID[way];
  }
}

function list(added) {
  columns = [...new Set([...columns, ...added])];
  replace(byId("head-chips"), columns.map(chip));
  show();
}

/** Columns of a head that is new. */
export function addHeads(added) {
  list(added);
  loadFacets();
}

function showCounts(facets) {
  for (const button of byId("head-chips").querySelectorAll("button")) {
    const n = facets?.heads[button.dataset.column];
    button.querySelector(".count").textContent = n === undefined ? "" : few(n);
  }
}

/** `filter(where)` sets another filter. */
export function startHeads(info, filter) {
  put = filter;
  list(info.heads.flatMap((head) => head.columns));
  onState(show);
  onFacets(showCounts);
}
