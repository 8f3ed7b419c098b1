// The search box: a text, an example to click, or an image or a saved query that is dropped, pasted or chosen.

import { postJson } from "./api.js";
import { byId, el, icon, iconButton, replace } from "./dom.js";
import { keepImage } from "./results.js";
import { say, sayError } from "./say.js";
import { openQuery } from "./saved_query.js";
import { getState, onState, setState } from "./state.js";

const MAX_BYTES = 8 * 1024 * 1024;
/** What a new search puts aside. */
export const PLAIN = { by: "", lasso: "", clip: "", t: null };

function base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => failed(new Error(`${file.name} could not be read.`));
    reader.readAsDataURL(file);
  });
}

async function searchImage(file) {
  if (!file.type.startsWith("image/")) return say(`Expected an image, found ${file.name}.`, { bad: true });
  if (file.size > MAX_BYTES) return say("Expected an image of at most 8 MB.", { bad: true });
  const name = file.name.replaceAll(/[^\w. -]/g, "_").slice(0, 80) || "image";
  try {
    const found = await postJson("/api/search", { image: { name, data: await base64(file) }, top: 1 });
    keepImage(name, found.query);
    setState({ ...PLAIN, image: name, text: "", like: [], unlike: [] });
  } catch (error) {
    sayError(error);
  }
  return undefined;
}

function takeImages() {
  const take = (file) => (file.name.endsWith(".json") ? openQuery(file) : searchImage(file));
  byId("image-file").addEventListener("change", (event) => {
    if (event.target.files[0]) take(event.target.files[0]);
    event.target.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    searchImage(file);
  });
  const shade = (on) => document.body.classList.toggle("dropping", on);
  document.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.items].some((item) => item.kind === "file")) return;
    event.preventDefault();
    shade(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && shade(false));
  document.addEventListener("drop", (event) => {
    shade(false);
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
}

function part(words, clear, label) {
  return el("span", { class: "part" }, el("span", { class: "cut" }, words), iconButton("close", label, clear));
}

/** Parts of the query beside its text: an image, clips to be like. */
function showParts(state) {
  const parts = [];
  if (state.image) parts.push(part(`image: ${state.image}`, () => setState({ image: "" }), "Leave out the image"));
  if (state.like.length || state.unlike.length) {
    const said = state.unlike.length ? `like ${state.like.length}, unlike ${state.unlike.length} clips`
      : state.like.length === 1 ? "like a clip" : `like ${state.like.length} clips`;
    parts.push(part(said, () => setState({ like: [], unlike: [] }), "Leave out the examples"));
  }
  replace(byId("parts"), parts);
}

function showState(state) {
  if (document.activeElement !== byId("text") || byId("text").value !== state.text) byId("text").value = state.text;
  byId("text-clear").hidden = !state.text;
  showParts(state);
  for (const chip of byId("examples").querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", String(chip.dataset.text === state.text));
  }
}

export function startSearch(info) {
  byId("search").prepend(icon("search"));
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    setState({ ...PLAIN, text: byId("text").value.trim() });
  });
  byId("text-clear").addEventListener("click", () => {
    setState({ ...PLAIN, text: "" });
    byId("text").focus();
  });
  const chips = info.examples.map((text) =>
    el("button", { type: "button", class: "chip", data: { text }, on: { click: () => setState({ ...PLAIN, text }) } },
      text));
  replace(byId("examples"), el("span", { class: "faint" }, "Try"), chips);
  byId("examples").hidden = !chips.length;
  takeImages();
  onState(showState);
  showState(getState());
}
