// The basket: what was picked by hand, and a selection made of it.

import { postJson } from "./api.js";
import { addToBasket, emptyBasket, getBasket, onBasket, removeFromBasket } from "./basket_items.js";
import { byId, el, iconButton, replace } from "./dom.js";
import { count, interval, plural } from "./format.js";
import { getResults, onResults } from "./results.js";
import { say, sayError } from "./say.js";
import { showSelection } from "./selections.js";
import { openClipFromPanel } from "./panels.js";
import { thumb } from "./thumb.js";

const SHOWN = 200;
let canWrite = false;

function row(item) {
  return el("li", { class: "item" },
    el("span", { class: "picture" }, thumb(item.clip_id)),
    el("button", { type: "button", class: "link cut", on: { click: () => openClipFromPanel(item.clip_id) } },
      item.log_name),
    el("span", { class: "num faint" }, interval(item.start_us, item.end_us, item.log_start_us)),
    iconButton("close", "Take out of the basket", () => removeFromBasket(item.clip_id)));
}

const clipsOf = (items) => [...new Set(items.flatMap((item) => item.clip_ids))];

function show() {
  const items = getBasket();
  byId("basket-count").textContent = items.length ? count(items.length) : "";
  byId("basket-open").setAttribute("aria-label", `Basket, ${plural(items.length, "hit")}`);
  const clips = clipsOf(items).length;
  byId("basket-said").textContent = items.length ? `${plural(items.length, "hit")}, ${plural(clips, "clip")}`
    : "Empty. Put hits in with the basket button on their cards, or with the key b.";
  replace(byId("basket-items"), items.slice(0, SHOWN).map(row),
    items.length > SHOWN ? el("li", { class: "faint" }, `and ${count(items.length - SHOWN)} more`) : null);
  byId("basket-empty").hidden = !items.length;
  byId("hand-form").hidden = !items.length || !canWrite;
  byId("basket-all").hidden = !getResults().hits.length;
  byId("basket-all").textContent = `Put in all ${plural(getResults().hits.length, "hit")}`;
}

async function makeSelection(event) {
  event.preventDefault();
  const name = byId("hand-name").value.trim();
  const clip_ids = clipsOf(getBasket());
  try {
    await postJson("/api/selections", { name, clip_ids, query: getResults().query });
    say(`Selection ${name} holds ${plural(clip_ids.length, "clip")}.`);
    byId("hand-name").value = "";
    await showSelection(name);
  } catch (error) {
    sayError(error);
  }
}

export function startBasket(info) {
  canWrite = info.can_write;
  byId("hand-form").addEventListener("submit", makeSelection);
  byId("basket-empty").addEventListener("click", emptyBasket);
  byId("basket-all").addEventListener("click", () => addToBasket(...getResults().hits));
  onBasket(show);
  onResults(show);
  show();
}
