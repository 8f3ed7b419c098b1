// The canvas of the scene from above: sizes, zoom, layers, and its legend.

import { drawScene, prepare } from "./bev.js";
import { el, replace } from "./dom.js";

const LAYERS = { map: "map", trails: "trails", forecasts: "forecasts" };
const LEGEND = [["ego", "ego"], ["vehicle", "vehicles"], ["person", "people, riders"], ["thing", "things"],
  ["forecast", "camera forecast"], ["risk", "at risk"]];
const SPAN_M = 60;

/** {node, show(time), draw(), set(scene), fail(text)}. */
export function makeBev() {
  const layers = { map: true, trails: true, forecasts: true };
  let [ready, timeUs, zoom, pointer] = [null, 0, 1, null];
  const canvas = el("canvas", { class: "bev", role: "img", tabindex: 0, "aria-label": "Scene from above" });
  const state = el("p", { class: "bev-state", role: "status" }, "loading the scene…");
  const toggles = Object.entries(LAYERS).map(([name, words]) =>
    el("button", { type: "button", class: "chip small", "aria-pressed": "true", data: { layer: name },
      on: { click: (event) => toggle(event.currentTarget, name) } }, words));
  const legend = el("ul", { class: "legend" }, LEGEND.map(([kind, words]) =>
    el("li", {}, el("span", { class: `swatch ${kind}` }), words)));
  const zoomBy = (by) => {
    zoom = Math.max(0.6, Math.min(6, zoom * by));
    draw();
  };
  const button = (words, label, by) => el("button", { type: "button", class: "chip small", "aria-label": label,
    on: { click: () => zoomBy(by) } }, words);
  const node = el("div", { class: "bev-box" }, el("div", { class: "bev-frame" }, canvas, state),
    el("div", { class: "row tight" }, toggles, button("+", "Zoom in", 1.3), button("−", "Zoom out", 1 / 1.3)), legend);

  function toggle(pressed, name) {
    layers[name] = !layers[name];
    pressed.setAttribute("aria-pressed", String(layers[name]));
    draw();
  }

  function draw() {
    const [wide, tall] = [canvas.clientWidth, canvas.clientHeight];
    if (!ready || !wide) return;
    const [w, h] = [Math.round(wide * devicePixelRatio), Math.round(tall * devicePixelRatio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const context = canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    const scale = (zoom * Math.min(wide, tall)) / SPAN_M;
    canvas.setAttribute("aria-label", drawScene(context, ready, timeUs, { wide, tall, scale, layers, pointer }));
  }

  const point = (at) => {
    pointer = at;
    draw();
  };
  canvas.addEventListener("pointermove", (event) => point([event.offsetX, event.offsetY]));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.12 : 1 / 1.12);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "-") zoomBy(event.key === "+" ? 1.3 : 1 / 1.3);
  });
  new ResizeObserver(draw).observe(canvas);
  return {
    node,
    draw,
    show(time) {
      timeUs = time;
      draw();
    },
    set(scene) {
      const known = scene.times_us.length && scene.ego?.poses?.length;
      ready = known ? prepare(scene) : null;
      replace(state, known ? null : "The scene from above is not known: the log has neither tracks nor poses here.");
      state.hidden = Boolean(known);
      legend.querySelector(".forecast").parentElement.hidden = !scene.forecast;
      legend.querySelector(".risk").parentElement.hidden = !scene.focus;
      for (const chip of toggles) if (chip.dataset.layer === "forecasts") chip.hidden = !scene.forecast;
      draw();
    },
    fail(text) {
      state.hidden = false;
      replace(state, text);
    },
  };
}
