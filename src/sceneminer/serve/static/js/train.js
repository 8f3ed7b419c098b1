// The bar of marks: train a head on them, rank by it, and save it.

import { postJson } from "./api.js";
import { byId, el, icon, replace } from "./dom.js";
import { milliseconds, number, plural, words } from "./format.js";
import { getResults, load, onResults, trainBody } from "./results.js";
import { say, sayError } from "./say.js";
import { PLAIN } from "./search.js";
import { getState, onState, setState } from "./state.js";
import { withCondition } from "./where.js";

const HEAD_NAME = "[a-z][a-z0-9_]{0,39}";
let [canWrite, saving] = [false, false];

function train() {
  if (getState().by === "marks" && !getState().lasso) load();
  else setState({ ...PLAIN, by: "marks" });
}

/** What training found: figures, or why there are none, and how long it took. */
function figures(results) {
  const { figures: found, examples } = results.note ?? {};
  const said = [];
  for (const name of ["ap", "auc"]) {
    if (typeof found?.[name] === "number") said.push(`${name.toUpperCase()} ${number(found[name])}`);
  }
  const many = typeof examples === "number" ? plural(examples, "example") : null;
  return [many && `Trained on ${many} in ${milliseconds(results.tookMs ?? 0)}`, ...said, found?.note]
    .filter(Boolean).join(" · ");
}

async function save(event) {
  event.preventDefault();
  const name = byId("head-name").value.trim();
  saving = true;
  show();
  try {
    const { saved } = await postJson("/api/train", { ...trainBody(getState()), top: 1, save_as: name });
    const column = saved.columns[0];
    const use = () => setState({ ...PLAIN, where: withCondition(getState().where, `${column} >= 0.5`) });
    byId("head-name").value = "";
    replace(byId("saved"), `Saved as head ${saved.name}. `,
      el("button", { type: "button", class: "link", on: { click: use } }, `Filter by ${column}`));
    say(`The head ${saved.name} is part of the index now.`);
  } catch (error) {
    sayError(error);
  } finally {
    saving = false;
    show();
  }
}

function ready({ up, down }) {
  if (!up.length) return "Mark at least one clip with thumbs up.";
  return up.length + down.length < 4 ? "More marks, of both kinds, make a better head." : "";
}

function show() {
  const state = getState();
  const results = getResults();
  const { up, down, by } = state;
  byId("marks").hidden = !(up.length + down.length) && by !== "marks";
  document.body.classList.toggle("has-marks", !byId("marks").hidden);
  byId("marks-count").textContent = `${up.length} liked, ${down.length} disliked`;
  const trained = results.kind === "marks" && results.status === "ready";
  const busy = results.kind === "marks" && results.status === "loading";
  byId("train").disabled = !up.length || busy;
  byId("train").querySelector("span").textContent = busy ? "Training…" : by === "marks" ? "Train again" : "Train";
  byId("figures").textContent = trained ? figures(results) : ready(state);
  byId("marks-off").hidden = by !== "marks";
  byId("save-head").hidden = !trained || !canWrite;
  byId("save-head").querySelector("button").disabled = saving;
  byId("search-marks").disabled = !up.length;
}

export function startTrain(info) {
  canWrite = info.can_write;
  byId("train").prepend(icon("like"));
  byId("train").addEventListener("click", train);
  byId("search-marks").addEventListener("click", () =>
    setState({ ...PLAIN, text: "", image: "", like: getState().up, unlike: getState().down }));
  byId("marks-clear").addEventListener("click", () => {
    replace(byId("saved"));
    setState({ up: [], down: [], by: "" });
  });
  byId("marks-off").addEventListener("click", () => setState({ by: "" }));
  byId("head-name").pattern = HEAD_NAME;
  byId("head-name").title = `Small letters, digits and ${words("underscores")}; a letter first`;
  byId("save-head").addEventListener("submit", save);
  onState(show);
  onResults(show);
  show();
}
