// The menu of what a filter may ask of agents: a click puts the condition into the filter.

import { el, replace } from "./dom.js";
import { words } from "./format.js";
import { quoted, withCondition } from "./where.js";

const COLUMN_CONDITIONS = {
  "agent.distance_m": "agent.distance_m < 15",
  "agent.speed_mps": "agent.speed_mps > 5",
  "agent.risk": "agent.risk > 0.6",
  "agent.x_m": "agent.x_m > 0",
  "agent.y_m": "agent.y_m > 2",
  "measure.ttc_s": "measure.ttc_s < 1.5",
  "measure.pet_s": "measure.pet_s < 1",
  "measure.thw_s": "measure.thw_s < 1",
};
/** Names of numbers end in their unit; the others are true or false. */
const isANumber = (name) => name.startsWith("measure.") || /_(m|mps|rad|mps2|s)$|\.risk$/.test(name);
const ALONE = new Set(["accelerating", "braking"]);

/** A condition with this word, of an agent of this category ('' for any). */
function conditionOf(kind, name, category) {
  const of = category ? `agent.category == ${quoted(category)} and ` : "";
  if (kind === "flags") return of + name;
  if (kind === "numbers") return of + (COLUMN_CONDITIONS[name] ?? `${name} > 0`);
  if (name === "turning") return `${of}turning('left')`;
  if (ALONE.has(name)) return `${of}${name}()`;
  if (name === "lasting") return `lasting(${of}agent.in_ego_lane, 1)`;
  if (name === "some" || name === "none") {
    return `${name}(${of || "agent.category == 'pedestrian' and "}agent.distance_m < 15)`;
  }
  return `${of}${name}('ego')`;
}

function entry(kind, name, meaning, add) {
  return el("li", { data: { words: `${name} ${meaning}`.toLowerCase() } },
    el("button", { type: "button", class: "word", on: { click: () => add(kind, name) } },
      el("b", {}, words(name.replace(/^agent\./, ""))), meaning ? el("span", {}, meaning) : null));
}

function section(title, kind, meanings, add) {
  const entries = Object.entries(meanings ?? {}).map(([name, meaning]) => entry(kind, name, meaning, add));
  return entries.length ? el("section", {}, el("h4", {}, title), el("ul", {}, entries)) : null;
}

/** The menu; `where()` is the filter as it is, `put(text)` sets another. */
export function agentWords(known, where, put) {
  const option = (name) => el("option", { value: name }, words(name));
  const category = el("select", { id: "agent-category", "aria-label": "Kind of agent" },
    el("option", { value: "" }, "any agent"),
    el("optgroup", { label: "several kinds" }, (known.groups ?? []).map(option)),
    el("optgroup", { label: "one kind" }, (known.categories ?? []).map(option)));
  const add = (kind, name) => put(withCondition(where(), conditionOf(kind, name, category.value)));
  const columns = Object.entries(known.columns ?? {});
  const sections = el("div", { class: "word-list" },
    section("What it does", "flags", Object.fromEntries(columns.filter(([name]) => !isANumber(name))), add),
    section("How it moves, and for how long", "functions", known.functions, add),
    section("Beside whom, near whom", "relations", known.relations, add),
    section("Its numbers", "numbers", Object.fromEntries(columns.filter(([name]) => isANumber(name))), add));
  const find = el("input", { type: "search", placeholder: "find a word", "aria-label": "Find a word about agents",
    on: { input: () => {
      const asked = find.value.trim().toLowerCase();
      for (const item of sections.querySelectorAll("li")) item.hidden = !item.dataset.words.includes(asked);
    } } });
  const box = el("div", { class: "words" });
  return replace(box, el("div", { class: "row" }, category, find), sections,
    el("p", { class: "faint" }, "All conditions on an agent speak of the same agent at the same instant."));
}
