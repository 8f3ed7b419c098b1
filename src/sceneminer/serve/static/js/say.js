// Short notices at the foot of the page, read out by screen readers.

import { byId, el } from "./dom.js";

const SHOWN_MS = 5000;

export function say(text, { bad = false } = {}) {
  const note = el("p", { class: bad ? "note bad" : "note", role: bad ? "alert" : "status" }, text);
  // An open dialog covers everything that is not inside it.
  (document.querySelector("dialog[open]") ?? document.body).append(byId("notes"));
  byId("notes").append(note);
  setTimeout(() => note.remove(), bad ? 2 * SHOWN_MS : SHOWN_MS);
}

export const sayError = (error) => {
  if (error.name !== "AbortError") say(error.message, { bad: true });
};
