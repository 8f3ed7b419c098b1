// Keys; the help lists what is here.

import { actOnClip, closeClip, goBeside, goHit } from "./clip.js";
import { byId, el, replace } from "./dom.js";
import { openFilters } from "./filters.js";
import { actOnFocused, moveInGrid } from "./grid.js";
import { toggleMap } from "./map.js";
import { openPanel } from "./panels.js";
import { getState } from "./state.js";

const HELP = [
  ["Anywhere", [["/", "search"], ["m", "map of the index"], ["Shift B", "basket"], ["?", "this help"],
    ["Esc", "close"]]],
  ["Hits", [["← ↓ ↑ →  or  h j k l", "move"], ["Enter", "open"], ["u", "thumbs up"], ["d", "thumbs down"],
    ["b", "into the basket, or out of it"]]],
  ["Clip", [["Space", "play, pause"], [",  .", "step back, step on"], ["← →  or  k j", "earlier hit, next hit"],
    ["[  ]", "clip before, clip after in the log"],
    ["u  d  b", "thumbs up, thumbs down, basket"]]],
  ["Map", [["drag", "lasso; with Shift: move"], ["wheel  or  + −", "zoom"], ["arrows", "move"],
    ["Enter", "what is in the middle"]]],
];
const GRID = {
  ArrowLeft: () => moveInGrid(-1, 0),
  ArrowRight: () => moveInGrid(1, 0),
  ArrowUp: () => moveInGrid(0, -1),
  ArrowDown: () => moveInGrid(0, 1),
};
Object.assign(GRID, { h: GRID.ArrowLeft, l: GRID.ArrowRight, k: GRID.ArrowUp, j: GRID.ArrowDown });
const GRID_ACTS = { u: "up", d: "down", b: "basket" };
const CLIP = {
  " ": () => actOnClip("play"),
  ",": () => actOnClip("back"),
  ".": () => actOnClip("next"),
  ArrowLeft: () => goHit(-1),
  ArrowRight: () => goHit(1),
  "[": () => goBeside(-1),
  "]": () => goBeside(1),
  k: () => goHit(-1),
  j: () => goHit(1),
  u: () => actOnClip("up"),
  d: () => actOnClip("down"),
  b: () => actOnClip("basket"),
  Escape: () => closeClip(),
};
const EVERYWHERE = {
  "/": () => byId("text").focus(),
  m: toggleMap,
  B: () => openPanel("basket"),
  "?": () => openPanel("help"),
};

const slides = (node) => node.tagName === "INPUT" && node.type === "range";
const writes = (node) => /^(TEXTAREA|SELECT|INPUT)$/.test(node.tagName) && !slides(node);

function actOf(event) {
  if (byId("basket").open || byId("help").open) return null;
  if (getState().clip) {
    if (event.key.startsWith("Arrow") && slides(event.target)) return null;
    if (event.key === " " && event.target.tagName === "BUTTON") return null;
    return CLIP[event.key] ?? (event.key === "?" ? EVERYWHERE["?"] : null);
  }
  if (event.key === "Escape" && byId("filters").classList.contains("open")) return () => openFilters(false);
  if (slides(event.target)) return EVERYWHERE[event.key] ?? null;
  if (GRID_ACTS[event.key]) return () => actOnFocused(GRID_ACTS[event.key]);
  return GRID[event.key] ?? EVERYWHERE[event.key] ?? null;
}

function help() {
  const name = (key) => el("dt", {}, key.split("  ").map((one) => (one === "or" ? " or " : el("kbd", {}, one))));
  const rows = (keys) => keys.flatMap(([key, does]) => [name(key), el("dd", {}, does)]);
  replace(byId("help-keys"), HELP.map(([title, keys]) =>
    el("section", {}, el("h3", {}, title), el("dl", { class: "keys" }, rows(keys)))));
}

export function startKeys() {
  help();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (writes(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  });
}
