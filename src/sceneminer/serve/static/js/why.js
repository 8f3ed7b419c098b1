// Why a clip is risky and why it is hard, in words and bars.

import { bar } from "./card.js";
import { el } from "./dom.js";
import { NOTHING_NEAR, clock, isNumber, number, topTags, words } from "./format.js";

const SOURCES = { tracks: "from the recorded tracks", camera: "from the cameras alone" };
const PARTS = { risk: "Risk", ambiguity: "Ambiguity", rarity: "Rarity" };
const MEANT = {
  risk: "higher than in this share of the index's clips",
  ambiguity: "how far the forecast's futures spread",
  rarity: "how unlike clips of other logs",
};

const whoOf = (category) => (category === "vulnerable" ? "vulnerable road user" : words(category ?? "agent"));

/** One or two sentences: who, when, and by which measure. */
export function sentence(clip) {
  const { risk } = clip;
  if (!risk || risk.value === null) return "The risk of this clip is not known: there are no tracks, and no risk head.";
  const source = SOURCES[risk.source] ?? "";
  if (!risk.measure || risk.value < NOTHING_NEAR) return `Risk ${number(risk.value)} ${source}: nobody comes close.`;
  const when = isNumber(risk.time_us) ? ` at ${clock(risk.time_us - clip.log_start_us)}` : "";
  const who = whoOf(risk.category);
  return `Risk ${number(risk.value)} ${source}: ${who}${when}, ${risk.words}.`;
}

function other(clip) {
  const camera = clip.risk_camera;
  if (clip.risk?.source === "camera" || !isNumber(camera?.value)) return null;
  const what = [camera.category && whoOf(camera.category), camera.words].filter(Boolean).join(", ");
  return el("p", { class: "faint" }, `The cameras alone say ${number(camera.value)}${what ? `: ${what}` : ""}.`);
}

function hardness(clip) {
  const rows = Object.entries(PARTS).map(([name, title]) => {
    const value = clip.parts?.[name] ?? null;
    const weight = clip.weights?.[name];
    return el("div", { class: "part-row" }, bar(title, value, name === "risk" ? "risk" : ""),
      el("span", { class: "faint" }, value === null ? "not known, left out" : MEANT[name],
        isNumber(weight) ? ` · weight ${number(weight)}` : ""));
  });
  return [el("h3", {}, "Why it is hard"), bar("Hardness", clip.hardness), ...rows];
}

/** Tags with how sure the model is, and what the labels say where they say something. */
function tags(clip) {
  const labelled = Object.entries(clip.label_tags ?? {}).filter(([, has]) => has === true).map(([tag]) => tag);
  const shown = topTags(clip.tags, 8, 0.3);
  return [el("h3", {}, "Tags"),
    shown.length ? shown.map(([tag, p]) => bar(words(tag), p)) : el("p", { class: "faint" }, "None is likely."),
    labelled.length ? el("p", { class: "faint" }, `By the labels: ${labelled.map(words).join(", ")}.`) : null];
}

function heads(clip) {
  const known = Object.entries(clip.heads ?? {}).filter(([, value]) => value !== null);
  return known.length ? [el("h3", {}, "Heads of this index"), known.map(([name, value]) =>
    isNumber(value) && value >= 0 && value <= 1 ? bar(words(name), value)
      : el("p", {}, `${words(name)} ${value}`))] : [];
}

function facts(clip) {
  const row = (name, value) => (value ? [el("dt", {}, name), el("dd", {}, value)] : []);
  return el("dl", { class: "facts" }, row("Log", clip.log_name), row("Data set", clip.dataset),
    row("Location", clip.location), row("Licence", clip.licence), row("Described as", clip.description),
    row("Clip id", clip.clip_id));
}

export function makeWhy(clip) {
  return el("div", { class: "why" }, el("h3", {}, "Why it is risky"), el("p", { class: "sentence" }, sentence(clip)),
    other(clip), hardness(clip), tags(clip), heads(clip), el("h3", {}, "About"), facts(clip));
}
