// Sheets that slide over the page: the basket and the help. Esc, the button and a click beside close them.

import { byId, iconButton } from "./dom.js";
import { setState } from "./state.js";

const opened = [];

export function openPanel(id) {
  if (byId(id).open) return;
  byId(id).showModal();
  for (const act of opened) act(id);
}

const closePanel = (id) => byId(id).open && byId(id).close();

/** Call `act(id)` when a panel opens. */
export function onPanel(act) {
  opened.push(act);
}

export function openClipFromPanel(clipId) {
  closePanel("basket");
  setState({ clip: clipId, t: null });
}

export function startPanels() {
  for (const id of ["basket", "help"]) {
    const dialog = byId(id);
    dialog.querySelector(".panel-head").append(iconButton("close", "Close (Esc)", () => dialog.close()));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    byId(`${id}-open`).addEventListener("click", () => openPanel(id));
  }
}
