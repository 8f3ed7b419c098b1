// The page: asks what the index is, then starts each part.

import { getJson } from "./api.js";
import { startBasket } from "./basket.js";
import { startBasketItems } from "./basket_items.js";
import { startChoose } from "./choose.js";
import { startClip } from "./clip.js";
import { byId, el, icon, replace } from "./dom.js";
import { startFilters } from "./filters.js";
import { plural } from "./format.js";
import { startGrid } from "./grid.js";
import { startKeys } from "./keys.js";
import { startMap } from "./map.js";
import { startPanels } from "./panels.js";
import { startResults } from "./results.js";
import { startSavedQuery } from "./saved_query.js";
import { startSearch } from "./search.js";
import { startSelections } from "./selections.js";
import { startTheme } from "./theme.js";
import { startTrain } from "./train.js";

function icons() {
  for (const button of document.querySelectorAll("[data-icon]")) button.prepend(icon(button.dataset.icon));
}

function about(info) {
  document.title = `${info.name} · sceneminer`;
  byId("index-name").textContent = info.name;
  byId("index-size").textContent = `${plural(info.clips, "clip")} · ${plural(info.logs, "log")}`;
  const notices = [info.model.demo ? "Demo model: it knows the synthetic town, not your streets." : null,
    info.licence_notice].filter(Boolean);
  replace(byId("notices"), notices.map((text) => el("p", {}, text)));
  byId("notices").hidden = !notices.length;
}

async function start() {
  icons();
  startTheme();
  let info;
  try {
    info = await getJson("/api/info");
  } catch (error) {
    byId("results-title").textContent = "The index cannot be shown";
    replace(byId("grid"), el("div", { class: "state", role: "alert" }, el("p", {}, error.message),
      el("button", { type: "button", class: "button primary", on: { click: () => location.reload() } }, "Try again")));
    return;
  }
  about(info);
  startBasketItems(info);
  startPanels();
  const parts = [startSearch, startSavedQuery, startFilters, startGrid, startTrain, startSelections, startChoose,
    startBasket, startMap];
  for (const startPart of parts) startPart(info);
  startClip();
  startKeys();
  await startResults(info);
}

start();
