// Elements without HTML strings: every text of the data becomes a text node, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `props`: attributes, plus `class`, `on` (events) and `data` (dataset). null and false are left out. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Put these children in place of what is there. */
export function replace(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const byId = (id) => document.getElementById(id);

const ICONS = {
  up: "M7 11v9H4v-9zm3 9h7.2a2 2 0 0 0 2-1.6l1.2-6A2 2 0 0 0 18.5 10H14l.8-4.2A1.9 1.9 0 0 0 13 3.5L9 10v9z",
  down: "M17 13V4h3v9zm-3-9H6.8a2 2 0 0 0-2 1.6l-1.2 6A2 2 0 0 0 5.5 14H10l-.8 4.2A1.9 1.9 0 0 0 11 20.5L15 14V5z",
  basket: "M4 9h16l-1.6 10H5.6zM8 9l3-5m5 5-3-5",
  play: "M8 5v14l11-7z",
  pause: "M7 5h3v14H7zm7 0h3v14h-3z",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  search: "M10.5 4.5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM15 15l5 5",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  help: "M9 9a3 3 0 1 1 4 2.8c-.8.4-1 .9-1 1.7V14m0 3.5v.01",
  map: "M5 17h.01M9 12h.01M12 16h.01M14 8h.01M17 11h.01M18 16h.01M8 7h.01M12 12h.01",
  grid: "M5 5h6v6H5zm8 0h6v6h-6zM5 13h6v6H5zm8 0h6v6h-6z",
  filter: "M4 6h16M7 12h10M10 18h4",
  like: "M4 7h10M4 12h7M4 17h7m6-5v8m-4-4h8",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  lasso: "M12 5c4.5 0 8 2 8 5s-3.5 5-8 5-8-2-8-5 3.5-5 8-5zM7 14c-1 2 0 4 2 4s2 3 0 3",
  pan: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};
const SOLID = new Set(["play", "pause"]);

/** A 20 px line icon; the button around it carries the words. */
export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  const kind = SOLID.has(name) ? "icon solid" : "icon";
  return svg("svg", { viewBox: "0 0 24 24", class: kind, "aria-hidden": "true" }, path);
}

/** A button of an icon, with the words that a reader and a tooltip say. */
export function iconButton(name, label, act, props = {}) {
  return el("button", { type: "button", "aria-label": label, title: label, on: { click: act }, class: "icon-button",
    ...props }, icon(name));
}
