// What the filter lets through, in numbers: asked for beside the hits, whenever the filter is another.

import { postJson } from "./api.js";
import { getState, onState } from "./state.js";

let asking = null;
const listeners = [];

/** Call `act(facets)` when they are known; with null where they are not, as under a filter that is wrong. */
export function onFacets(act) {
  listeners.push(act);
}

function show(facets) {
  for (const act of listeners) act(facets);
}

/** Count anew. What is wrong with a filter is told beside the hits. */
export async function loadFacets() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const where = getState().where.trim();
  try {
    const found = await postJson("/api/facets", where ? { where } : {}, signal);
    if (!signal.aborted) show(found);
  } catch (error) {
    if (error.name !== "AbortError" && !signal.aborted) show(null);
  }
}

export function startFacets() {
  onState((_, changed) => changed.has("where") && loadFacets());
  loadFacets();
}
