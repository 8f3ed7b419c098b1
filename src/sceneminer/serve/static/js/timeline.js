// The whole log as a strip: risk from tracks and from cameras, tags over time, this clip, and now.

import { el } from "./dom.js";
import { clock, isNumber, number, words } from "./format.js";
import { colour } from "./theme.js";

const RISK_PX = 72;
const LANE_PX = 14;
const LANES = 6;
const NAMES_PX = 116;
const LEAST_P = 0.5;

/** Tags that some clip of the log has, likeliest first. */
function laneTags(clips) {
  const best = new Map();
  for (const clip of clips) {
    for (const [tag, p] of Object.entries(clip.tags ?? {})) {
      if (isNumber(p)) best.set(tag, Math.max(best.get(tag) ?? 0, p));
    }
  }
  return [...best].filter(([, p]) => p >= LEAST_P).sort((a, b) => b[1] - a[1]).slice(0, LANES).map(([tag]) => tag);
}

function drawRisk(context, timeline, x, tall) {
  const y = (risk) => tall - 4 - risk * (tall - 10);
  context.lineWidth = 1;
  context.strokeStyle = colour("line");
  for (const risk of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(x(timeline.start_us), y(risk) + 0.5);
    context.lineTo(x(timeline.end_us), y(risk) + 0.5);
    context.stroke();
  }
  context.strokeStyle = colour("camera-risk");
  context.lineWidth = 2;
  context.setLineDash([4, 3]);
  for (const clip of timeline.clips.filter((one) => isNumber(one.risk_camera))) {
    context.beginPath();
    context.moveTo(x(clip.start_us), y(clip.risk_camera));
    context.lineTo(x(clip.end_us), y(clip.risk_camera));
    context.stroke();
  }
  context.setLineDash([]);
  context.strokeStyle = colour("risk");
  let drawing = false;
  context.beginPath();
  timeline.risk.times_us.forEach((time, at) => {
    const risk = timeline.risk.tracks?.[at];
    if (!isNumber(risk)) {
      drawing = false;
      return;
    }
    if (drawing) context.lineTo(x(time), y(risk));
    else context.moveTo(x(time), y(risk));
    drawing = true;
  });
  context.stroke();
}

function drawLanes(context, timeline, tags, x) {
  tags.forEach((tag, lane) => {
    const top = RISK_PX + lane * LANE_PX;
    context.fillStyle = colour("faint-fill");
    context.fillRect(x(timeline.start_us), top + 2, x(timeline.end_us) - x(timeline.start_us), LANE_PX - 4);
    context.fillStyle = colour("accent");
    timeline.clips.forEach((clip, at) => {
      const p = clip.tags?.[tag];
      if (!isNumber(p)) return;
      const until = Math.min(clip.end_us, timeline.clips[at + 1]?.start_us ?? clip.end_us);
      context.globalAlpha = 0.85 * p ** 2;
      context.fillRect(x(clip.start_us), top + 2, Math.max(1, x(until) - x(clip.start_us)), LANE_PX - 4);
    });
    context.globalAlpha = 1;
  });
}

function drawNames(context, tags) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = colour("muted");
  context.fillText("risk", 0, 12);
  tags.forEach((tag, lane) => context.fillText(words(tag), 0, RISK_PX + lane * LANE_PX + LANE_PX / 2, NAMES_PX - 8));
}

/** {node, show(time), draw()}; `onSeek(time_us)` hears of clicks. */
export function makeTimeline(clip, onSeek) {
  const { timeline } = clip;
  const tags = laneTags(timeline.clips);
  const tall = RISK_PX + tags.length * LANE_PX + 4;
  const longUs = Math.max(1, timeline.end_us - timeline.start_us);
  const canvas = el("canvas", { class: "timeline", role: "img", "aria-label": told(clip, tags) });
  const node = el("div", { class: "timeline-box" }, canvas, key(timeline));
  canvas.style.blockSize = `${tall}px`;
  let [timeUs, wide, still] = [clip.start_us, 0, null];
  const x = (time) => NAMES_PX + ((time - timeline.start_us) / longUs) * (wide - NAMES_PX - 2);

  function drawStill() {
    still = document.createElement("canvas");
    [still.width, still.height] = [canvas.width, canvas.height];
    const context = still.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    context.fillStyle = colour("accent-soft");
    context.fillRect(x(clip.start_us), 0, Math.max(2, x(clip.end_us) - x(clip.start_us)), tall);
    drawNames(context, tags);
    drawRisk(context, timeline, x, RISK_PX);
    drawLanes(context, timeline, tags, x);
  }

  function draw() {
    wide = canvas.clientWidth;
    if (!wide) return;
    [canvas.width, canvas.height] = [Math.round(wide * devicePixelRatio), Math.round(tall * devicePixelRatio)];
    drawStill();
    show(timeUs);
  }

  function show(time) {
    timeUs = time;
    if (!still) return;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(still, 0, 0);
    context.scale(devicePixelRatio, devicePixelRatio);
    context.fillStyle = colour("text");
    context.fillRect(x(time) - 1, 0, 2, tall);
  }

  const seek = (event) => {
    const at = (event.offsetX - NAMES_PX) / (wide - NAMES_PX - 2);
    if (at >= 0 && at <= 1) onSeek(timeline.start_us + at * longUs);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    seek(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = timeline.start_us + ((event.offsetX - NAMES_PX) / (wide - NAMES_PX - 2)) * longUs;
    canvas.title = event.offsetX < NAMES_PX ? "" : `${clock(at - clip.log_start_us)} in the log`;
    if (event.buttons && at >= clip.start_us && at <= clip.end_us) seek(event);
  });
  new ResizeObserver(draw).observe(canvas);
  return { node, show, draw };
}

function key(timeline) {
  const cameras = timeline.clips.some((one) => isNumber(one.risk_camera));
  const entry = (kind, said) => el("span", {}, el("span", { class: `swatch ${kind}` }), said);
  return el("p", { class: "key faint" }, entry("risk", "risk from tracks"),
    cameras ? entry("camera-risk", "risk from cameras") : null,
    entry("clip", "this clip; a click elsewhere opens the clip there"));
}

function told(clip, tags) {
  const risks = (clip.timeline.risk.tracks ?? []).filter(isNumber);
  const risk = risks.length ? `risk up to ${number(Math.max(...risks))}` : "risk from tracks not known";
  return `Timeline of the log: ${risk}; tags: ${tags.map(words).join(", ") || "none"}`;
}
