// The grid of hits, with what to do where there are none, and the keys that move in it.

import { byId, el, replace } from "./dom.js";
import { milliseconds, plural } from "./format.js";
import { makeCard, toggleBasket } from "./card.js";
import { refreshCard } from "./card_state.js";
import { onBasket } from "./basket_items.js";
import { toggleMark } from "./marks.js";
import { stopPreview } from "./preview.js";
import { getResults, load, loadMore, onResults, whatFollows } from "./results.js";
import { getState, onState, setState } from "./state.js";

const SKELETONS = 8;
let filterHint = "";

const grid = () => byId("grid");
const links = () => [...grid().querySelectorAll("a.open")];

function heading(results) {
  const { text, where, like, image } = getState();
  if (results.kind === "lasso") return `${plural(results.note?.inside ?? 0, "clip")} inside the lasso`;
  if (results.kind === "marks") return "Ranked by your marks";
  if (text) return `Hits for “${text}”`;
  if (image) return "Hits like the image";
  if (like.length) return like.length === 1 ? "More like this clip" : "More like these clips";
  return where ? "Hardest clips under the filter" : "Hardest clips of the index";
}

function sub(results) {
  if (results.status === "loading") return "searching…";
  if (results.status === "error") return "";
  const took = results.tookMs === null ? "" : ` in ${milliseconds(results.tookMs)}`;
  return `${plural(results.hits.length, getState().each ? "clip" : "interval")}${took}`;
}

function button(words, act, kind = "") {
  return el("button", { type: "button", class: `button ${kind}`, on: { click: act } }, words);
}

function empty({ note }) {
  const { where, lasso } = getState();
  const ways = [];
  if (lasso) ways.push(button("Clear the lasso", () => setState({ lasso: "" }), "primary"));
  if (where) ways.push(button("Clear the filter", () => setState({ where: "" }), "primary"));
  ways.push(button("Show the hardest clips", () =>
    setState({ text: "", where: "", like: [], unlike: [], by: "", lasso: "", image: "" })));
  const unknown = note?.unknown ?? [];
  const said = unknown.length ? `Nothing can match: of no clip in this index is known ${unknown.join(", ")}.`
    : lasso ? "No clip lies inside the lasso. Draw a wider one around some points."
    : where ? "No clip meets the whole filter. Take a condition away, or widen a slider." : filterHint;
  return el("div", { class: "state" }, el("h2", {}, "Nothing found"), el("p", {}, said),
    el("div", { class: "row" }, ways));
}

function failed(error) {
  const ways = [button("Try again", load, "primary")];
  if (getState().where) ways.push(button("Clear the filter", () => setState({ where: "" })));
  if (getState().by) ways.push(button("Back to the search", () => setState({ by: "" })));
  if (getState().image) ways.push(button("Leave out the image", () => setState({ image: "" })));
  return el("div", { class: "state", role: "alert" }, el("h2", {}, "That did not work"), el("p", {}, error.message),
    el("div", { class: "row" }, ways));
}

const skeleton = () => el("div", { class: "card skeleton", "aria-hidden": "true" }, el("div", { class: "picture" }));

function show(results) {
  stopPreview();
  byId("each-clip").setAttribute("aria-pressed", String(Boolean(getState().each)));
  byId("results-title").textContent = heading(results);
  byId("results-sub").textContent = sub(results);
  grid().setAttribute("aria-busy", String(results.status === "loading"));
  if (results.status === "error") return replace(grid(), failed(results.error));
  if (results.status === "loading") {
    grid().classList.add("stale");
    if (!grid().querySelector(".card")) replace(grid(), Array.from({ length: SKELETONS }, skeleton));
    return undefined;
  }
  grid().classList.remove("stale");
  if (!results.hits.length) return replace(grid(), empty(results));
  return replace(grid(), results.hits.map(makeCard), end());
}

function end() {
  const ways = { more: ["Show more", more], each: ["Show each clip", () => setState({ each: "1" })] }[whatFollows()];
  return ways ? el("div", { class: "more-hits" }, button(...ways)) : null;
}

/** The focus goes to the first hit that is new. */
async function more() {
  const shown = getResults().hits.length;
  await loadMore();
  links()[shown]?.focus();
}

function refresh() {
  for (const card of grid().querySelectorAll("[data-clip]")) refreshCard(card);
}

/** Move the focus by columns and rows; into the grid where it is not there yet. */
export function moveInGrid(columns, rows) {
  const all = links();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const tops = all.map((link) => link.getBoundingClientRect().top);
  const wide = Math.max(1, tops.filter((top) => Math.abs(top - tops[0]) < 4).length);
  const to = at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + columns + rows * wide));
  all[to].focus();
  all[to].closest(".card").scrollIntoView({ block: "nearest" });
}

function focused() {
  const clip = document.activeElement?.closest?.(".card")?.dataset.clip;
  return getResults().hits.find((hit) => hit.clip_id === clip) ?? null;
}

/** Do something with the hit that has the focus: "up", "down" or "basket". */
export function actOnFocused(act) {
  const hit = focused();
  if (!hit) return false;
  if (act === "basket") toggleBasket(hit);
  else toggleMark(hit.clip_id, act);
  return true;
}

/** Back from a clip: the focus goes to its card. */
export function focusCard(clipId) {
  const hit = getResults().hits.find((one) => one.clip_ids.includes(clipId));
  links().find((link) => link.closest(".card").dataset.clip === hit?.clip_id)?.focus();
}

export function startGrid(info) {
  filterHint = info.clips
    ? "Try other words, or one of the examples above."
    : "This index is empty. Mine some logs into it: sceneminer mine ROOT --out INDEX";
  byId("each-clip").addEventListener("click", () => setState({ each: getState().each ? "" : "1" }));
  onResults(show);
  onBasket(refresh);
  onState((_, changed) => (changed.has("up") || changed.has("down")) && refresh());
  show(getResults());
}
