// A slider with two handles over two histograms: of all that the filter lets through, and of the hits that are shown.

import { el, replace, svg } from "./dom.js";
import { isNumber } from "./format.js";

const BINS = 24;

function histogram(values, most) {
  const bins = new Array(BINS).fill(0);
  for (const value of values) {
    if (isNumber(value)) bins[Math.max(0, Math.min(BINS - 1, Math.floor((value / most) * BINS)))] += 1;
  }
  return bins;
}

/**
 * A labelled slider from 0 to `most`. `onRange(low, high)` is called when a handle is let go, with null for a side
 * that is open. Returns {node, show(low, high), histogram(values) of the hits, spread(counts) of all}.
 */
export function rangeSlider({ label, unit, most, step, digits, onRange }) {
  const handle = (end) =>
    el("input", { type: "range", min: 0, max: most, step, value: end === "least" ? 0 : most,
      "aria-label": `${label}, ${end}`, class: end });
  const [low, high] = [handle("least"), handle("most")];
  const said = el("output", { class: "num" });
  const bars = svg("svg", { class: "bars", viewBox: `0 0 ${BINS} 20`, preserveAspectRatio: "none",
    "aria-hidden": "true" });
  const track = el("div", { class: "track" }, el("div", { class: "between" }), low, high);
  let bins = new Array(BINS).fill(0);
  let all = [];

  /** Each of the two over its own tallest bar: there are sixty hits, and perhaps a million clips. */
  function row(counts, wide, kind) {
    const [from, to] = [Number(low.value), Number(high.value)];
    const tallest = Math.max(1, ...counts);
    return counts.map((n, at) => {
      const middle = ((at + 0.5) / counts.length) * most;
      const tall = n ? Math.max(1.5, (n / tallest) * 20) : 0;
      return svg("rect", { x: ((at + 0.5) * BINS) / counts.length - wide / 2, width: wide, y: 20 - tall, height: tall,
        class: `${kind} ${middle >= from && middle <= to ? "in" : "out"}` });
    });
  }

  function draw() {
    const [from, to] = [Number(low.value), Number(high.value)];
    replace(bars, row(all, 0.9, "all"), row(bins, 0.5, "hits"));
    track.style.setProperty("--from", from / most);
    track.style.setProperty("--to", to / most);
    const open = from <= 0 && to >= most;
    said.textContent = open ? "any" : `${from.toFixed(digits)} – ${to.toFixed(digits)}${unit ? ` ${unit}` : ""}`;
    said.classList.toggle("faint", open);
  }
  low.addEventListener("input", () => {
    if (Number(low.value) > Number(high.value)) low.value = high.value;
    draw();
  });
  high.addEventListener("input", () => {
    if (Number(high.value) < Number(low.value)) high.value = low.value;
    draw();
  });
  const letGo = () => {
    const [from, to] = [Number(low.value), Number(high.value)];
    onRange(from <= 0 ? null : from, to >= most ? null : to);
  };
  low.addEventListener("change", letGo);
  high.addEventListener("change", letGo);
  draw();
  const title = "Pale: all clips that the filter lets through. Strong: the hits that are shown.";
  const node = el("fieldset", { class: "slider", title },
    el("legend", {}, el("span", {}, label), said), bars, track);
  return {
    node,
    show(from, to) {
      low.value = from ?? 0;
      high.value = to ?? most;
      draw();
    },
    histogram(values) {
      bins = histogram(values, most);
      draw();
    },
    spread(counts) {
      all = counts;
      draw();
    },
  };
}
