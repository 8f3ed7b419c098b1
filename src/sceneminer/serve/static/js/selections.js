// Selections that were made, and their export with progress.

import { getJson, postJson } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { interval, number, plural } from "./format.js";
import { onPanel, openClipFromPanel } from "./panels.js";
import { sayError } from "./say.js";
import { thumb } from "./thumb.js";

const POLL_MS = 400;
const ITEMS = 50;
const LEFT_OUT = 20;
let formats = [];
let canWrite = false;
const listeners = [];

/** Call `act(selections)` when the list has been read. */
export function onSelections(act) {
  listeners.push(act);
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function exported(job) {
  const out = job.left_out ?? [];
  return [el("p", {}, `Exported ${plural(job.items, "clip")} to `, el("code", {}, job.path ?? "")),
    out.length ? el("details", {}, el("summary", {}, `${plural(out.length, "thing")} left out`),
      el("ul", {}, out.slice(0, LEFT_OUT).map(([what, why]) => el("li", {}, `${what}: ${why}`)))) : null];
}

/** Export, and tell how far it is until it is done. */
async function runExport(name, to, box) {
  const bar = el("progress", { max: 1, "aria-label": `Export of ${name}` });
  const said = el("span", { class: "num" }, "starting…");
  replace(box, el("p", { class: "row" }, bar, said));
  const { job } = await postJson("/api/exports", { selection: name, to });
  for (;;) {
    const now = await getJson(`/api/jobs/${encodeURIComponent(job)}`);
    if (now.state === "done") return replace(box, exported(now));
    if (now.state === "failed") throw new Error(now.error ?? "The export failed.");
    const part = /(\d+) (?:of|\/) (\d+)/.exec(now.said ?? "");
    if (part) Object.assign(bar, { max: Number(part[2]), value: Number(part[1]) });
    said.textContent = now.said || "working…";
    await wait(POLL_MS);
  }
}

function exportForm(name) {
  const choice = el("select", { "aria-label": "Format" }, formats.map((format) =>
    el("option", { value: format.name }, format.extra ? `${format.name} (extra ${format.extra})` : format.name)));
  const button = el("button", { class: "button" }, "Export");
  const said = el("div", { class: "export-said", role: "status" });
  const form = el("form", { class: "row", on: { submit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await runExport(name, choice.value, said);
    } catch (error) {
      replace(said, el("p", { class: "error", role: "alert" }, error.message));
    } finally {
      button.disabled = false;
    }
  } } }, choice, button);
  return [form, said];
}

function item(chosen) {
  const { clip_id: clipId, log_name: log, parts } = chosen;
  const when = interval(chosen.start_us, chosen.end_us);
  const [name, value] = parts?.hardness === undefined ? ["score", chosen.score] : ["hardness", parts.hardness];
  return el("li", {},
    el("button", { type: "button", class: "item-open", title: `${log}, ${when}: ${name} ${number(value)}`,
      "aria-label": `Open ${log}, ${when}`, on: { click: () => openClipFromPanel(clipId) } },
    el("span", { class: "picture" }, thumb(clipId)),
    el("span", { class: "cut" }, log), el("span", { class: "num faint" }, `${name} ${number(value)}`)));
}

/** What was chosen, in its order, as pictures: how diverse it is, one sees. */
function items(selection) {
  const more = selection.items.length - ITEMS;
  return [el("ol", { class: "items" }, selection.items.slice(0, ITEMS).map(item)),
    more > 0 ? el("p", { class: "faint" }, `and ${more} more`) : null];
}

function entry({ name, items: n, made_from: from, error }) {
  const inside = el("div", { class: "selection-items" });
  const details = el("details", { class: "selection", data: { selection: name } },
    el("summary", {}, el("b", { class: "cut" }, name), el("span", { class: "num faint" }, plural(n, "clip"))),
    error ? el("p", { class: "error" }, error) : el("p", { class: "faint" }, `Made from index version ${from}.`),
    canWrite && !error ? exportForm(name) : null, inside);
  details.addEventListener("toggle", async () => {
    if (!details.open || inside.childElementCount) return;
    try {
      const found = await getJson(`/api/selections/${encodeURIComponent(name)}`);
      replace(inside, items(found.selection ?? found));
    } catch (error) {
      replace(inside, el("p", { class: "error" }, error.message));
    }
  });
  return details;
}

async function list() {
  const all = await getJson("/api/selections");
  replace(byId("selections"), all.length ? all.map(entry)
    : el("p", { class: "faint" }, "None yet. Make one of the basket, or choose diverse clips."));
  for (const act of listeners) act(all);
}

/** Read the list anew and open one of it. */
export async function showSelection(name) {
  await list();
  const made = byId("selections").querySelector(`[data-selection="${CSS.escape(name)}"]`);
  if (!made) return;
  made.open = true;
  made.scrollIntoView({ block: "nearest" });
}

export function startSelections(info) {
  formats = info.exports;
  canWrite = info.can_write;
  onPanel((id) => id === "basket" && list().catch(sayError));
}
