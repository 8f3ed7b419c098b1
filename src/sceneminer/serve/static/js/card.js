// One hit: its picture, when and where, score, risk with its reason, tags, and what can be done with it.

import { addToBasket, inBasket, removeFromBasket } from "./basket_items.js";
import { el, iconButton } from "./dom.js";
import { NOTHING_NEAR, interval, isNumber, measured, number, topTags, words } from "./format.js";
import { refreshCard } from "./card_state.js";
import { membersButton } from "./members.js";
import { toggleMark } from "./marks.js";
import { isPlaying, startPreview, stopPreview } from "./preview.js";
import { getState, hashOf } from "./state.js";
import { thumb } from "./thumb.js";

/** Why a hit is risky, in words: pedestrian, time to collision 0.8 s. */
function reason(parts) {
  if (!((parts.risk ?? 0) >= NOTHING_NEAR)) return "";
  const said = [];
  if (parts.risk_category) said.push(words(parts.risk_category));
  if (parts.risk_measure) said.push(measured(parts.risk_measure, parts.risk_value));
  return said.join(", ");
}

/** A bar of a value in [0, 1] with its number. */
export function bar(label, value, kind = "") {
  const fill = el("span", { class: "fill" });
  fill.style.inlineSize = `${100 * Math.max(0, Math.min(1, value ?? 0))}%`;
  return el("span", { class: `bar ${kind}`, title: `${label} ${number(value)}` },
    el("span", { class: "bar-name" }, label), el("span", { class: "rail" }, fill),
    el("span", { class: "num" }, number(value)));
}

/** Who met the filter's conditions on agents, and when within the hit. */
function met({ parts, start_us: startUs }) {
  if (!parts.agents) return null;
  const who = parts.agents.replaceAll(/\b([0-9a-f]{6})[0-9a-f]{10,}\b/g, "$1");
  const [from, to] = [parts.agents_start_us, parts.agents_end_us].map((us) => number((us - startUs) / 1e6, 1));
  return el("p", { class: "reason cut", title: parts.agents }, `filter met by ${who}, ${from} – ${to} s in`);
}

/** What stands where a reason is not named. */
function noReason({ risk }) {
  if (!isNumber(risk)) return "risk not known";
  return risk < NOTHING_NEAR ? "nobody comes close" : "";
}

function picture(hit) {
  const canvas = el("canvas", { class: "film", hidden: true, "aria-hidden": "true" });
  const toggle = () => (isPlaying(canvas) ? stopPreview() : startPreview(hit.clip_id, canvas, { now: true }));
  const play = iconButton("play", "Play this clip", toggle, { class: "icon-button film-play" });
  const score = isNumber(hit.score) ? el("span", { class: "score num", title: "score" }, number(hit.score)) : null;
  const address = () => hashOf({ ...getState(), clip: hit.clip_id, t: null });
  const link = el("a", { class: "open", href: address(), on: { click: () => link.setAttribute("href", address()) },
    "aria-label": `Open ${hit.log_name}, ${interval(hit.start_us, hit.end_us, hit.log_start_us)}` }, thumb(hit.clip_id), canvas);
  const box = el("div", { class: "picture" }, link, score, play);
  box.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && startPreview(hit.clip_id, canvas));
  box.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && stopPreview());
  return box;
}

function buttons(hit) {
  return el("div", { class: "acts" },
    iconButton("up", "Thumbs up", () => toggleMark(hit.clip_id, "up"), { data: { act: "up" } }),
    iconButton("down", "Thumbs down", () => toggleMark(hit.clip_id, "down"), { data: { act: "down" } }),
    iconButton("basket", "Put into the basket", () => toggleBasket(hit), { data: { act: "basket" } }));
}

export function toggleBasket(hit) {
  if (inBasket(hit.clip_id)) removeFromBasket(hit.clip_id);
  else addToBasket(hit);
}

export function makeCard(hit) {
  const { parts } = hit;
  const tags = topTags(hit.tags, 3).map(([name, p]) =>
    el("span", { class: "badge", title: `${words(name)} ${number(p)}` }, words(name)));
  const why = reason(parts);
  const card = el("article", { class: "card", data: { clip: hit.clip_id } },
    picture(hit),
    el("div", { class: "card-text" },
      el("div", { class: "card-line" }, el("b", { class: "cut", title: hit.log_name }, hit.log_name),
        el("span", { class: "num faint" }, interval(hit.start_us, hit.end_us, hit.log_start_us))),
      bar("risk", parts.risk, "risk"),
      el("p", { class: "reason cut", title: why },
        why || noReason(parts)),
      met(hit), el("div", { class: "badges" }, tags),
      el("div", { class: "card-line end" }, membersButton(hit), buttons(hit))));
  refreshCard(card);
  return card;
}
