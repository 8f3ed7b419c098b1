// Numbers and names as people read them.

/** Below this risk nobody is near enough to be named, as in the report of export. */
export const NOTHING_NEAR = 0.005;
const MEASURES = {
  ttc_s: ["time to collision", "s"],
  ttc_turn_s: ["time to collision", "s"],
  drac_mps2: ["must brake by", "m/s²"],
  ttce_s: ["closest in", "s"],
  dce_m: ["would pass within", "m"],
  thw_s: ["headway", "s"],
  pet_s: ["same place within", "s"],
  a_long_req_mps2: ["must brake by", "m/s²"],
  a_lat_req_mps2: ["must swerve by", "m/s²"],
};

export const words = (name) => String(name).replaceAll("_", " ");
const measureName = (measure) => MEASURES[measure]?.[0] ?? words(measure);
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
export const count = (n) => n.toLocaleString("en-US");
/** 12,345 as 12K, where there is little room. */
export const few = (n) => (n < 1000 ? String(n) : new Intl.NumberFormat("en-US", { notation: "compact" }).format(n));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function number(value, digits = 2) {
  return isNumber(value) ? value.toFixed(digits) : "–";
}

/** A measure in words, as the server says it of one clip: time to collision 0.8 s. */
export function measured(measure, value) {
  if (!isNumber(value)) return measureName(measure);
  return `${measureName(measure)} ${value.toFixed(1)} ${MEASURES[measure]?.[1] ?? ""}`.trim();
}

/** 75 s into a log: 1:15.0. */
export function clock(us) {
  const tenths = Math.round(us / 1e5);
  const minutes = Math.floor(Math.abs(tenths) / 600);
  const seconds = ((Math.abs(tenths) % 600) / 10).toFixed(1).padStart(4, "0");
  return `${tenths < 0 ? "−" : ""}${minutes}:${seconds}`;
}

/** An interval of a log: within the log where its start is known, else the time of day (UTC) and how long. */
export function interval(startUs, endUs, logStartUs) {
  const long = `${((endUs - startUs) / 1e6).toFixed(1)} s`;
  if (isNumber(logStartUs)) return `${clock(startUs - logStartUs)} – ${clock(endUs - logStartUs)}`;
  const start = new Date(startUs / 1000);
  return Number.isNaN(start.getTime()) ? long : `${start.toISOString().slice(11, 19)} · ${long}`;
}

export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Tags from the likeliest down, those of at least `least`. */
export function topTags(tags, most, least = 0.5) {
  const known = Object.entries(tags ?? {}).filter(([, p]) => isNumber(p) && p >= least);
  return known.sort((a, b) => b[1] - a[1]).slice(0, most);
}

/** Front first: the camera that a small player shows. */
export function mainCamera(cameras) {
  const names = cameras.map((camera) => camera.name.toLowerCase());
  const front = names.findIndex((name) => /(^|[_/.-])(front|ring_front_center|center)$/.test(name));
  if (front >= 0) return cameras[front];
  return cameras[names.findIndex((name) => name.includes("front"))] ?? cameras[0];
}
