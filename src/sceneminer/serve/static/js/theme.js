// Light and dark: the system's, or the one chosen here; and colours of the style sheet for canvases.

import { byId } from "./dom.js";
import { keep } from "./kept.js";

const root = document.documentElement;
const listeners = [];
let colours = new Map();
let probe = null;

const isDark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

/** A colour of the style sheet by its name, as canvases take it. */
export function colour(name) {
  if (!colours.has(name)) {
    if (!probe) {
      probe = document.createElement("span");
      probe.hidden = true;
      document.body.append(probe);
    }
    probe.style.color = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}

/** A colour as three numbers in [0, 1]. */
export function rgb(name) {
  return (colour(name).match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map((part) => Number(part) / 255);
}

export function onTheme(act) {
  listeners.push(act);
}

function changed() {
  colours = new Map();
  const other = isDark() ? "light" : "dark";
  byId("theme").setAttribute("aria-label", `Use the ${other} theme`);
  byId("theme").title = `Use the ${other} theme`;
  for (const act of listeners) act();
}

export function startTheme() {
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep("theme", root.dataset.theme);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  changed();
}
