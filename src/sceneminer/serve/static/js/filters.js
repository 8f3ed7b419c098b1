// Filters: chips, sliders and choices that write into one text, which can be edited too.

import { byId, el, replace } from "./dom.js";
import { onFacets, startFacets } from "./facets.js";
import { few, plural, words } from "./format.js";
import { startHeads } from "./heads.js";
import { onResults } from "./results.js";
import { rangeSlider } from "./slider.js";
import { getState, onState, setState } from "./state.js";
import { conditions, shown, withChoice, withRange, withTag } from "./where.js";
import { agentWords } from "./words.js";

const SLIDERS = [
  { column: "risk", label: "Risk", unit: "", most: 1, step: 0.05, digits: 2 },
  { column: "hardness", label: "Hardness", unit: "", most: 1, step: 0.05, digits: 2 },
  { column: "ego_speed_mps", label: "Ego speed", unit: "m/s", most: 30, step: 1, digits: 0 },
];
const NEXT = { 0: 1, 1: -1, "-1": 0 };
const SAID = { 0: "not asked for", 1: "must have", "-1": "must not have" };

/** Filter anew: what is ranked stays, a lasso and an open clip do not. */
const filter = (where) => setState({ where, lasso: "", clip: "", t: null });

function tagChip(tag) {
  const cycle = () => filter(withTag(getState().where, tag, NEXT[shown(getState().where).tags[tag] ?? 0]));
  return el("button", { type: "button", class: "chip tag", data: { tag }, on: { click: cycle } },
    words(tag), el("span", { class: "count num" }));
}

function showChips(found) {
  for (const chip of byId("tags").querySelectorAll("button")) {
    const way = found.tags[chip.dataset.tag] ?? 0;
    chip.dataset.way = way;
    chip.setAttribute("aria-pressed", way === 0 ? "false" : way === 1 ? "true" : "mixed");
    chip.setAttribute("aria-label", `${words(chip.dataset.tag)}: ${SAID[way]}`);
    chip.title = `${SAID[way]}; click for ${SAID[NEXT[way]]}. The number: clips under the filter that have it`;
  }
}

function choice(column, label, names) {
  const list = el("datalist", { id: `${column}-names` }, names.map((name) => el("option", { value: name })));
  const input = el("input", { id: `choice-${column}`, list: list.id, placeholder: "any", autocomplete: "off",
    on: { change: (event) => filter(withChoice(getState().where, column, event.target.value.trim())) } });
  return el("label", { class: "choice" }, el("span", {}, label), input, list);
}

/** A click writes the column's name into the filter, where the caret is. */
function columnChip(name) {
  return el("button", { type: "button", class: "chip tag", on: { click: () => {
    const field = byId("where");
    const before = field.value.slice(0, field.selectionStart);
    const joint = before.trim() && field.selectionStart === field.value.length ? `${before.trimEnd()} and ` : before;
    field.setRangeText(`${joint}${name} `, 0, field.selectionEnd, "end");
    field.focus();
  } } }, name);
}

function startText() {
  const field = byId("where");
  const apply = () => filter(field.value.trim().replaceAll(/\s*\n\s*/g, " "));
  field.addEventListener("change", apply);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    apply();
  });
  byId("where-clear").addEventListener("click", () => filter(""));
}

function showState(state, sliders) {
  const found = shown(state.where);
  showChips(found);
  for (const { column, slider } of sliders) slider.show(...(found.ranges[column] ?? [null, null]));
  for (const column of ["log", "location"]) byId(`choice-${column}`).value = found.choices[column] ?? "";
  byId("where").value = state.where;
  byId("where-clear").hidden = !state.where;
  const n = conditions(state.where).length;
  byId("filters-open").querySelector("span").textContent = n ? `Filters (${n})` : "Filters";
}

/** How many clips the filter lets through, how many have each tag, and how their values spread; null: not known. */
function showFacets(facets, sliders) {
  byId("filters-count").textContent = facets
    ? `${getState().where ? "Met by" : "All"} ${plural(facets.clips, "clip")} in ${plural(facets.logs, "log")}` : "";
  for (const chip of byId("tags").querySelectorAll("button")) {
    chip.querySelector(".count").textContent = facets ? few(facets.tags[chip.dataset.tag]) : "";
  }
  for (const { column, slider } of sliders) slider.spread(facets?.histograms[column] ?? []);
}

/** Without the list of all names there are: it is told beside the hits, where there is room. */
const brief = (message) => message.split(/[;,.]? expected one of /)[0];

function showResults(results, sliders) {
  const wrong = results.status === "error" && [400, 422].includes(results.error.status) && getState().where;
  byId("where-error").textContent = wrong ? brief(results.error.message) : "";
  byId("where").setAttribute("aria-invalid", String(Boolean(wrong)));
  if (results.status !== "ready") return;
  for (const { column, slider } of sliders) slider.histogram(results.hits.map((hit) => hit.parts[column]));
}

/** The sheet of filters on narrow screens. */
export function openFilters(open) {
  byId("filters").classList.toggle("open", open);
  byId("filters-open").setAttribute("aria-expanded", String(open));
  (open ? byId("filters-close") : byId("filters-open")).focus();
}

export function startFilters(info) {
  replace(byId("tags"), info.tags.map(tagChip));
  const sliders = SLIDERS.map((options) => {
    const onRange = (low, high) => filter(withRange(getState().where, options.column, low, high));
    return { column: options.column, slider: rangeSlider({ ...options, onRange }) };
  });
  replace(byId("sliders"), sliders.map(({ slider }) => slider.node));
  replace(byId("choices"), choice("location", "Location", info.locations), choice("log", "Log", info.log_names));
  replace(byId("agent-words"), agentWords(info.agent_words, () => getState().where, filter));
  replace(byId("filter-columns"), info.filter_columns.map(columnChip));
  byId("risk-rule").textContent = info.risk_rule;
  startHeads(info, filter);
  startText();
  byId("filters-open").addEventListener("click", () => openFilters(true));
  byId("filters-close").addEventListener("click", () => openFilters(false));
  onState((state) => showState(state, sliders));
  onResults((results) => showResults(results, sliders));
  onFacets((facets) => showFacets(facets, sliders));
  startFacets();
  showState(getState(), sliders);
}
