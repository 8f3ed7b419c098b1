// Choosing n clips that are hard, to the point and unlike one another.

import { postJson } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { number, plural } from "./format.js";
import { getResults, onResults } from "./results.js";
import { sayError } from "./say.js";
import { onSelections, showSelection } from "./selections.js";
import { getState } from "./state.js";

const WEIGHTS = { hardness: "Hardness", score: "Likeness to the query", diversity: "Diversity" };

function weight([name, words]) {
  const said = el("output", { class: "num" }, "1.0");
  const input = el("input", { type: "range", id: `weight-${name}`, min: 0, max: 2, step: 0.1, value: 1,
    on: { input: () => (said.textContent = number(Number(input.value), 1)) } });
  return el("label", { class: "weight" }, el("span", {}, words), input, said);
}

/** The query that is chosen from: what the hits came from; without one, the whole index. */
function query() {
  const state = getState();
  return byId("choose-from").value === "hits" && (state.text || state.where || state.like.length || state.image)
    ? getResults().query : null;
}

function showFrom() {
  const { text, where, by, lasso } = getState();
  const { like, image } = getState();
  const has = Boolean(getResults().query) && !by && !lasso && Boolean(text || where || like.length || image);
  const option = byId("choose-from").querySelector("[value=hits]");
  if (has && option.disabled) byId("choose-from").value = "hits";
  option.disabled = !has;
  option.textContent = has ? `the query: ${[text && `“${text}”`, where].filter(Boolean).join(", ") || "more like this"}`
    : "the query (there is none now)";
  if (!has) byId("choose-from").value = "all";
}

function body() {
  const value = (id) => byId(id).value.trim();
  const chosen = {
    query: query(),
    n: Number(value("choose-n")),
    quotas: value("quotas").split(/[;,\n]/).map((quota) => quota.trim()).filter(Boolean),
    near_duplicate: byId("near").checked ? Number(value("near-value")) || "auto" : null,
    exclude: [...byId("exclude").selectedOptions].map((option) => option.value),
    name: value("choose-name"),
  };
  for (const name of Object.keys(WEIGHTS)) chosen[name] = Number(value(`weight-${name}`));
  return chosen;
}

function report({ report: said, selection }, asked) {
  const lines = [`Chose ${plural(selection.items.length, "clip")} of ${plural(said.matching, "match", "matches")}`];
  if (said.excluded) lines.push(`${plural(said.excluded, "clip")} left out: in an earlier selection`);
  if (said.near_duplicates) {
    lines.push(`${plural(said.near_duplicates, "near-duplicate")} left out (a cosine of ${said.near_cosine} or more)`);
  }
  if (selection.items.length < asked.n) {
    lines.push(`Fewer than the ${asked.n} asked for. Clips that overlap are not chosen together; to get more, `
      + "let near-duplicates in, loosen quotas, or widen the query.");
  }
  lines.push(...(said.unmet ?? []).map((quota) => `Not met: ${quota}`));
  return lines;
}

async function choose(event) {
  event.preventDefault();
  const button = byId("choose");
  button.disabled = true;
  replace(byId("choose-said"), "choosing…");
  try {
    const asked = body();
    const found = await postJson("/api/select", asked);
    replace(byId("choose-said"), report(found, asked).map((line) => el("p", {}, line)));
    await showSelection(found.name ?? asked.name);
  } catch (error) {
    replace(byId("choose-said"));
    sayError(error);
  } finally {
    button.disabled = false;
  }
}

export function startChoose(info) {
  replace(byId("weights"), Object.entries(WEIGHTS).map(weight));
  byId("choose-form").hidden = !info.can_write;
  byId("read-only").hidden = info.can_write;
  byId("choose-form").addEventListener("submit", choose);
  byId("near").addEventListener("change", () => (byId("near-value").disabled = !byId("near").checked));
  onSelections((all) => {
    replace(byId("exclude"), all.map(({ name }) => el("option", { value: name }, name)));
    byId("exclude-box").hidden = !all.length;
  });
  onResults(showFrom);
  showFrom();
}
