// The scene from above, ego's heading up: map, agents with trails, forecasts, and the pair behind the risk.

import { NOTHING_NEAR, clock, number, words } from "./format.js";
import { around, between } from "./scene_time.js";
import { colour } from "./theme.js";

const AREAS = ["drivable", "parking", "walkway", "intersection", "crossing", "stop_line"];
const VULNERABLE = new Set(["pedestrian", "bicycle", "motorcycle", "personal_mobility", "animal"]);
const STATIC = new Set(["cone", "barrier", "debris", "bicycle_rack", "other"]);
const LEAST_EXISTENCE = 0.3;
const NEAR_PX = 14;

/** The name of the colour of a category. */
export const kindOf = (category) => (VULNERABLE.has(category) ? "person" : STATIC.has(category) ? "thing" : "vehicle");

function trace(made, points) {
  points.forEach(([x, y], at) => (at ? made.lineTo(x, y) : made.moveTo(x, y)));
  return made;
}

/** Polygons as lists of rings, the outline first. */
function areaPath(rings) {
  const made = new Path2D();
  for (const ring of rings) {
    trace(made, ring);
    made.closePath();
  }
  return made;
}

/** What does not change while a clip plays, as paths in world coordinates. */
export function prepare(scene) {
  const areas = AREAS.filter((name) => scene.map?.areas?.[name]).map((name) =>
    ({ name, paths: scene.map.areas[name].map(areaPath) }));
  const lines = Object.entries(scene.map?.lines ?? {}).map(([name, all]) =>
    ({ name, paths: all.map((line) => trace(new Path2D(), line)) }));
  return { scene, areas, lines };
}

/** Canvas from world: metres to pixels, ego's heading up, ego at (cx, cy). */
function canvasFromWorld([x0, y0, yaw], { scale, cx, cy }) {
  const [c, s] = [Math.cos(yaw), Math.sin(yaw)];
  const [a, b, cc, d] = [scale * s, -scale * c, -scale * c, -scale * s];
  return [a, b, cc, d, cx - a * x0 - cc * y0, cy - b * x0 - d * y0];
}

const project = ([a, b, c, d, e, f], x, y) => [a * x + c * y + e, b * x + d * y + f];

function drawMap(context, ready, pixel) {
  for (const { name, paths } of ready.areas) {
    context.fillStyle = colour(`map-${name.replace("_", "-")}`);
    for (const one of paths) context.fill(one, "evenodd");
  }
  context.lineWidth = 1.2 * pixel;
  for (const { name, paths } of ready.lines) {
    context.strokeStyle = colour(name === "boundary" ? "map-edge" : "map-line");
    context.setLineDash(name === "centerline" ? [6 * pixel, 8 * pixel] : []);
    for (const one of paths) context.stroke(one);
  }
  context.setLineDash([]);
}

function box(context, [x, y, yaw], length, width, ahead = 0) {
  const [c, s] = [Math.cos(yaw), Math.sin(yaw)];
  const [mx, my] = [x + c * ahead, y + s * ahead];
  const corner = (l, w) => [mx + c * l - s * w, my + s * l + c * w];
  context.beginPath();
  [[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5]].forEach(([l, w], at) => {
    const point = corner(l * length, w * width);
    if (at) context.lineTo(...point);
    else context.moveTo(...point);
  });
  context.closePath();
  return { front: corner(0.5 * length, 0), middle: [mx, my] };
}

function drawTrail(context, states, upTo, now) {
  context.beginPath();
  let drawing = false;
  for (const state of [...states.slice(0, upTo + 1), now]) {
    if (!state) drawing = false;
    else if (drawing) context.lineTo(state[0], state[1]);
    else context.moveTo(state[0], state[1]);
    drawing = drawing || Boolean(state);
  }
  context.stroke();
}

function drawAgent(context, agent, state, pixel, focused) {
  const main = colour(kindOf(agent.category));
  const { front, middle } = box(context, state, Math.max(agent.length_m, 0.6), Math.max(agent.width_m, 0.6));
  context.fillStyle = context.strokeStyle = focused ? colour("risk") : main;
  context.globalAlpha = focused ? 0.75 : 0.4;
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = (focused ? 2.5 : 1.3) * pixel;
  context.stroke();
  if (kindOf(agent.category) === "thing") return;
  context.beginPath();
  context.moveTo(...middle);
  context.lineTo(...front);
  context.stroke();
}

function drawForecast(context, forecast, pixel) {
  for (const agent of forecast.agents) {
    if ((agent.existence ?? 1) < LEAST_EXISTENCE) continue;
    context.strokeStyle = context.fillStyle = colour("forecast");
    for (const { odds, path: points } of agent.futures ?? []) {
      context.globalAlpha = Math.max(0.12, Math.min(1, odds));
      context.lineWidth = 2 * pixel;
      context.beginPath();
      context.moveTo(agent.x, agent.y);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
    context.globalAlpha = 1;
    context.beginPath();
    context.arc(agent.x, agent.y, 3 * pixel, 0, 2 * Math.PI);
    context.fill();
  }
}

function label(context, text, x, y, size, [ground, ink] = ["risk", "on-risk"]) {
  context.font = "600 12px system-ui, sans-serif";
  const wide = context.measureText(text).width + 12;
  const left = Math.max(4, Math.min(size.wide - wide - 4, x - wide / 2));
  const top = Math.max(4, Math.min(size.tall - 24, y - 28));
  context.fillStyle = colour(ground);
  context.beginPath();
  context.roundRect(left, top, wide, 20, 4);
  context.fill();
  context.fillStyle = colour(ink);
  context.textBaseline = "middle";
  context.fillText(text, left + 6, top + 10.5);
}

function drawFocus(context, focus, matrix, ego, spot, size) {
  const [from, to] = [project(matrix, ego[0], ego[1]), project(matrix, spot[0], spot[1])];
  context.strokeStyle = colour("risk");
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  context.arc(...to, 12, 0, 2 * Math.PI);
  context.stroke();
  label(context, focus.words, to[0], to[1], size);
}

/** Who is under the pointer: category and risk. */
function drawPointed(context, scene, states, when, matrix, view) {
  const [px, py] = view.pointer;
  let [best, nearest] = [null, NEAR_PX];
  states.forEach((state, at) => {
    if (!state) return;
    const [x, y] = project(matrix, state[0], state[1]);
    const away = Math.hypot(x - px, y - py);
    if (away < nearest) [best, nearest] = [{ agent: scene.agents[at], x, y }, away];
  });
  if (!best) return;
  const risk = best.agent.risk?.[when.share < 0.5 ? when.from : when.to];
  const said = `${words(best.agent.category)}${risk >= NOTHING_NEAR ? `, risk ${number(risk)}` : ""}`;
  label(context, said, best.x, best.y, view, ["text", "bg"]);
}

function drawRuler(context, scale, size) {
  const metres = scale * 10 > 40 ? 10 : 20;
  context.strokeStyle = context.fillStyle = colour("muted");
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(12, size.tall - 12);
  context.lineTo(12 + metres * scale, size.tall - 12);
  context.stroke();
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.fillText(`${metres} m`, 12, size.tall - 15);
}

/**
 * Draw the scene at a time; returns what a reader is told.
 * `view`: {wide, tall, scale (pixels a metre), layers, pointer ([x, y] in pixels, or null)}.
 */
export function drawScene(context, ready, timeUs, view) {
  const { scene } = ready;
  const when = around(scene.times_us, timeUs);
  const ego = when && scene.ego && between(scene.ego.poses, when);
  context.clearRect(0, 0, view.wide, view.tall);
  if (!ego) return "The scene from above is not known: the log has no poses here.";
  const matrix = canvasFromWorld(ego, { scale: view.scale, cx: view.wide / 2, cy: view.tall * 0.62 });
  const pixel = 1 / view.scale;
  context.save();
  context.transform(...matrix);
  if (view.layers.map) drawMap(context, ready, pixel);
  const states = scene.agents.map((agent) => between(agent.states, when));
  const isFocus = (agent) => scene.focus?.track_id !== null && agent.track_id === scene.focus?.track_id;
  if (view.layers.trails) {
    context.lineWidth = 1.5 * pixel;
    context.globalAlpha = 0.55;
    scene.agents.forEach((agent, at) => {
      context.strokeStyle = colour(isFocus(agent) ? "risk" : kindOf(agent.category));
      if (states[at]) drawTrail(context, agent.states, when.from, states[at]);
    });
    context.strokeStyle = colour("accent");
    drawTrail(context, scene.ego.poses, when.from, ego);
    context.globalAlpha = 1;
  }
  if (view.layers.forecasts && scene.forecast) drawForecast(context, scene.forecast, pixel);
  scene.agents.forEach((agent, at) => states[at] && drawAgent(context, agent, states[at], pixel, isFocus(agent)));
  box(context, ego, scene.ego.length_m, scene.ego.width_m, scene.ego.ahead_m);
  context.fillStyle = colour("accent");
  context.fill();
  context.restore();
  const at = scene.focus ? scene.agents.findIndex(isFocus) : -1;
  const spot = at >= 0 ? states[at] : scene.focus?.track_id ? null : scene.focus && [scene.focus.x, scene.focus.y];
  const middle = [ego[0] + Math.cos(ego[2]) * scene.ego.ahead_m, ego[1] + Math.sin(ego[2]) * scene.ego.ahead_m];
  if (spot) drawFocus(context, scene.focus, matrix, middle, spot, view);
  if (view.pointer) drawPointed(context, scene, states, when, matrix, view);
  drawRuler(context, view.scale, view);
  return told(scene, states, timeUs);
}

function told(scene, states, timeUs) {
  const counts = new Map();
  scene.agents.forEach(({ category }, at) => states[at] && counts.set(category, (counts.get(category) ?? 0) + 1));
  const agents = [...counts].map(([category, n]) => `${n} ${words(category)}`).join(", ") || "no agents";
  return `From above at ${clock(timeUs - (scene.times_us[0] ?? timeUs))}: ${agents}`;
}
