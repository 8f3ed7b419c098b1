// The map of the whole index: every clip a point, alike ones near; a lasso shows what lies inside.

import { getBytes, getJson } from "./api.js";
import { byId, el, icon, replace } from "./dom.js";
import { plural, words } from "./format.js";
import { asText, extend, polygonOfLine } from "./lasso.js";
import { pointsOn } from "./points.js";
import { polygonOf } from "./results.js";
import { getState, onState, setState } from "./state.js";
import { onTheme, rgb, colour } from "./theme.js";

const COLUMNS = { risk: "risk", hardness: "hardness", ego_speed_mps: "ego speed", density: "how many" };
let map = null;
let [info, mode, column, asked] = [null, "lasso", "risk", false];
let [middle, zoom] = [[0, 0], 1];
let line = null;

const stage = () => byId("map-stage");
const ratio = () => window.devicePixelRatio || 1;
const sizeOf = () => [stage().clientWidth, stage().clientHeight];

const toWorld = ([x, y]) => {
  const [wide, tall] = sizeOf();
  return [middle[0] + (x - wide / 2) / zoom, middle[1] - (y - tall / 2) / zoom];
};
const toPixels = ([x, y]) => {
  const [wide, tall] = sizeOf();
  return [wide / 2 + (x - middle[0]) * zoom, tall / 2 - (y - middle[1]) * zoom];
};

function fit() {
  const [x0, y0, x1, y1] = map.bounds;
  const [wide, tall] = sizeOf();
  middle = [(x0 + x1) / 2, (y0 + y1) / 2];
  zoom = 0.9 * Math.min(wide / Math.max(x1 - x0, 1e-9), tall / Math.max(y1 - y0, 1e-9));
  draw();
}

/** Small where points are many, larger as one zooms in. */
function look() {
  const [wide, tall] = sizeOf();
  const [x0, y0, x1, y1] = map.bounds;
  const inView = Math.min(1, (wide * tall) / (zoom ** 2 * Math.max((x1 - x0) * (y1 - y0), 1e-9)));
  const many = Math.max(1, map.points * inView);
  const size = Math.max(1.5, Math.min(9, Math.sqrt((wide * tall) / many) * 0.35));
  return { size: size * ratio(), alpha: column === "density" ? Math.max(0.06, Math.min(0.5, 3000 / many)) : 0.85 };
}

function draw() {
  if (!map?.drawn || !stage().clientWidth) return;
  const [wide, tall] = sizeOf().map((length) => Math.round(length * ratio()));
  for (const canvas of [byId("map-points"), byId("map-line")]) {
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
  }
  const colours = { low: rgb("ramp-low"), centre: rgb("ramp-centre"), high: rgb("ramp-high"), none: rgb("ramp-none") };
  map.drawn.draw({ middle, zoom: zoom * ratio(), plain: column === "density", colours, ...look() });
  drawLine();
}

function drawLine() {
  const context = byId("map-line").getContext("2d");
  context.setTransform(ratio(), 0, 0, ratio(), 0, 0);
  context.clearRect(0, 0, ...sizeOf());
  const shown = line ?? (getState().lasso ? polygonOf(getState().lasso).map(toPixels) : null);
  if (!shown?.length) return;
  context.beginPath();
  shown.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.fillStyle = colour("accent-soft");
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = colour("accent");
  context.stroke();
}

async function chooseColumn(name) {
  column = name;
  const values = name === "density" ? null
    : new Uint8Array(await getBytes(`/api/map/values?column=${encodeURIComponent(name)}`));
  // Clips were mined or deleted since the map was drawn: draw it anew.
  if (values && values.length !== map.points) return start();
  if (values) map.drawn.setValues(values);
  return draw();
}

function said(text, retry = false) {
  replace(byId("map-state"), text ? el("p", {}, text) : null,
    retry ? el("button", { type: "button", class: "button", on: { click: start } }, "Try again") : null);
  byId("map-state").hidden = !text;
}

async function start() {
  asked = true;
  said("loading the map…");
  try {
    map = await getJson("/api/map");
    if (!map.points) return said("The map is empty: no clip has been mined yet.");
    const points = new Float32Array(await getBytes("/api/map/points"));
    map.points = points.length / 2;
    map.drawn = pointsOn(byId("map-points"), points, new Uint8Array(map.points).fill(255));
    byId("map-note").textContent = [`${plural(map.points, "clip")}.`, map.drawn.words].filter(Boolean).join(" ");
    said("");
    fit();
    await chooseColumn(column);
  } catch (error) {
    said(error.message, true);
    asked = false;
  }
  return undefined;
}

const place = (event) => [event.offsetX, event.offsetY];

function zoomAt(point, by) {
  const before = toWorld(point);
  zoom *= by;
  const after = toWorld(point);
  middle = [middle[0] + before[0] - after[0], middle[1] + before[1] - after[1]];
  draw();
}

function takePointer(canvas) {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (!map?.drawn || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (mode === "lasso" && !event.shiftKey) line = [place(event)];
    else from = place(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (line) extend(line, place(event));
    else if (from) {
      const [x, y] = place(event);
      middle = [middle[0] - (x - from[0]) / zoom, middle[1] + (y - from[1]) / zoom];
      from = [x, y];
    }
    if (line || from) draw();
  });
  canvas.addEventListener("pointerup", () => {
    from = null;
    if (!line) return;
    const polygon = polygonOfLine(line).map(toWorld);
    line = null;
    setState({ lasso: asText(polygon, map.bounds) });
  });
  canvas.addEventListener("pointercancel", () => (line = from = null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (map?.drawn) zoomAt(place(event), event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }, { passive: false });
}

const centre = () => sizeOf().map((length) => length / 2);
const STEPS = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] };

function takeKeys(canvas) {
  canvas.addEventListener("keydown", (event) => {
    if (!map?.drawn) return;
    if (event.key === "+" || event.key === "-") zoomAt(centre(), event.key === "+" ? 1.3 : 1 / 1.3);
    else if (STEPS[event.key]) {
      const [dx, dy] = STEPS[event.key];
      middle = [middle[0] + dx / zoom, middle[1] - dy / zoom];
      draw();
    } else if (event.key === "Enter") setState({ lasso: asText(polygonOfLine([centre()]).map(toWorld), map.bounds) });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function chooseMode(next) {
  mode = next;
  for (const name of ["lasso", "pan"]) byId(`map-${name}`).setAttribute("aria-pressed", String(name === next));
  stage().dataset.mode = next;
}

function follow(state) {
  const open = state.view === "map";
  byId("map").hidden = !open;
  document.body.classList.toggle("with-map", open);
  byId("view-map").setAttribute("aria-pressed", String(open));
  byId("map-clear").hidden = !state.lasso;
  if (open && !asked) start();
  if (open) requestAnimationFrame(draw);
}

export const toggleMap = () => setState({ view: getState().view === "map" ? "" : "map", lasso: "" });

export function startMap(known) {
  info = known;
  const option = ([value, said]) => el("option", { value }, said);
  const tags = info.tags.map((tag) => [`tag.${tag}`, words(tag)]);
  replace(byId("map-column"), Object.entries(COLUMNS).map(option),
    el("optgroup", { label: "tags" }, tags.map(option)));
  byId("map-column").addEventListener("change", (event) =>
    chooseColumn(event.target.value).catch((error) => said(error.message, true)));
  replace(byId("map-lasso"), icon("lasso")).addEventListener("click", () => chooseMode("lasso"));
  replace(byId("map-pan"), icon("pan")).addEventListener("click", () => chooseMode("pan"));
  replace(byId("map-fit"), icon("fit")).addEventListener("click", () => map?.drawn && fit());
  byId("map-closer").addEventListener("click", () => map?.drawn && zoomAt(centre(), 1.4));
  byId("map-farther").addEventListener("click", () => map?.drawn && zoomAt(centre(), 1 / 1.4));
  byId("map-clear").addEventListener("click", () => setState({ lasso: "" }));
  byId("view-map").addEventListener("click", toggleMap);
  takePointer(byId("map-line"));
  takeKeys(byId("map-line"));
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(stage());
  chooseMode("lasso");
  onState(follow);
  onTheme(draw);
  follow(getState());
}
