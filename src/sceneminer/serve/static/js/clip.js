// The clip view: cameras in step, the log's timeline, the scene from above, and why; its own address.

import { getClip, getScene } from "./api.js";
import { onBasket } from "./basket_items.js";
import { makeBev } from "./bev_view.js";
import { toggleBasket } from "./card.js";
import { refreshCard } from "./card_state.js";
import { makeCameras } from "./cameras.js";
import { byId, el, icon, iconButton, replace } from "./dom.js";
import { clock, interval, topTags, words } from "./format.js";
import { focusCard } from "./grid.js";
import { toggleMark } from "./marks.js";
import { Player } from "./player.js";
import { getResults, onResults } from "./results.js";
import { say } from "./say.js";
import { PLAIN } from "./search.js";
import { getState, onState, setState } from "./state.js";
import { beside, makeStrip } from "./strip.js";
import { onTheme } from "./theme.js";
import { makeTimeline } from "./timeline.js";
import { makeWhy } from "./why.js";

const dialog = () => byId("clip");
let shown = null;

const inUs = (clip, t) => clip.log_start_us + t * 1e6;
const openClip = (clipId, t = null) => setState({ clip: clipId, t });
export const closeClip = () => setState({ clip: "", t: null });

function hitsAround() {
  const { hits } = getResults();
  const at = hits.findIndex((hit) => hit.clip_ids.includes(getState().clip));
  return { at, before: at > 0 ? hits[at - 1] : null, after: at >= 0 ? (hits[at + 1] ?? null) : (hits[0] ?? null) };
}

/** The next (1) or earlier (-1) hit of the list. */
export function goHit(way) {
  const { before, after } = hitsAround();
  const hit = way > 0 ? after : before;
  if (hit) openClip(hit.clip_id);
}

function refreshHead() {
  const { at, before, after } = hitsAround();
  byId("hit-before").disabled = !before;
  byId("hit-after").disabled = !after;
  byId("hit-place").textContent = at < 0 ? "" : `${at + 1} of ${getResults().hits.length}`;
  refreshCard(byId("clip-head"));
}

function head(clip) {
  const tags = topTags(clip.tags, 5).map(([name]) => el("span", { class: "badge" }, words(name)));
  const line = [clip.location, interval(clip.start_us, clip.end_us, clip.log_start_us)].filter(Boolean).join(" · ");
  replace(byId("clip-title"), el("h2", { class: "cut", title: clip.log_name }, clip.log_name),
    el("p", { class: "num faint cut" }, line), el("div", { class: "badges" }, tags));
  byId("clip-head").dataset.clip = clip.clip_id;
  refreshHead();
}

/** Measurements of the camera that has most of them: what a step is. */
function stepsOf(clip) {
  const most = clip.cameras.reduce((a, b) => (b.times_us.length > a.times_us.length ? b : a), { times_us: [] });
  return most.times_us;
}

function startTransport(clip, player) {
  const scrub = byId("scrub");
  Object.assign(scrub, { min: 0, max: Math.round((clip.end_us - clip.start_us) / 1000), value: 0 });
  scrub.oninput = () => {
    player.pause();
    player.seek(clip.start_us + Number(scrub.value) * 1000);
  };
  byId("speed").onchange = (event) => (player.speed = Number(event.target.value));
  player.speed = Number(byId("speed").value);
}

function showTime(clip, timeUs) {
  byId("scrub").value = Math.round((timeUs - clip.start_us) / 1000);
  const said = `${clock(timeUs - clip.log_start_us)}`;
  byId("time").textContent = said;
  byId("scrub").setAttribute("aria-valuetext", said);
}

function showPlaying(playing) {
  replace(byId("play"), icon(playing ? "pause" : "play"));
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

function keepTime() {
  const t = Number(((shown.player.timeUs - shown.clip.log_start_us) / 1e6).toFixed(2));
  setState({ t }, { replace: true });
}

function seekInLog(clip, player, timeUs) {
  if (timeUs >= clip.start_us && timeUs <= clip.end_us) {
    player.pause();
    player.seek(timeUs);
    keepTime();
    return;
  }
  const { clips } = clip.timeline;
  const middle = (one) => Math.abs((one.start_us + one.end_us) / 2 - timeUs);
  const there = clips.reduce((a, b) => (middle(b) < middle(a) ? b : a));
  openClip(there.clip_id, Number(((timeUs - clip.log_start_us) / 1e6).toFixed(2)));
}

function build(clip) {
  const bev = makeBev();
  const cameras = makeCameras(clip, () => player.timeUs);
  let timeline = null;
  const player = new Player({
    startUs: clip.start_us,
    endUs: clip.end_us,
    timesUs: stepsOf(clip),
    onTime: (timeUs) => {
      for (const part of [cameras, timeline, bev]) part.show(timeUs);
      showTime(clip, timeUs);
    },
    onPlaying: (playing) => {
      showPlaying(playing);
      if (!playing && shown?.player === player) keepTime();
    },
  });
  timeline = makeTimeline(clip, (timeUs) => seekInLog(clip, player, timeUs));
  replace(byId("clip-cameras"), clip.missing ? el("p", { class: "banner", role: "status" }, clip.missing) : null,
    cameras.node);
  const strip = makeStrip(clip, (clipId) => openClip(clipId));
  replace(byId("clip-timeline"), timeline.node, strip.node);
  strip.refresh();
  strip.centre();
  replace(byId("clip-side"), bev.node, makeWhy(clip));
  return { clip, player, cameras, timeline, bev, strip, asked: new AbortController() };
}

function close() {
  shown?.player?.close();
  shown?.cameras?.close();
  shown?.asked?.abort();
  shown = null;
}

async function showScene(view) {
  if (view.clip.missing) {
    view.bev.fail("The scene from above needs the log, which cannot be opened.");
    return;
  }
  try {
    view.bev.set(await getScene(view.clip.clip_id, view.asked.signal));
  } catch (error) {
    if (error.name !== "AbortError") view.bev.fail(error.message);
  }
}

function failed(error) {
  dialog().classList.add("failed");
  replace(byId("clip-title"), el("h2", {}, "This clip cannot be shown"));
  replace(byId("clip-cameras"), el("div", { class: "state", role: "alert" }, el("p", {}, error.message),
    el("button", { type: "button", class: "button primary", on: { click: closeClip } }, "Back to the hits")));
  for (const part of ["clip-timeline", "clip-side"]) replace(byId(part));
  dialog().removeAttribute("aria-busy");
}

async function open(clipId) {
  close();
  dialog().dataset.clip = clipId;
  dialog().setAttribute("aria-busy", "true");
  dialog().classList.remove("failed");
  if (!dialog().open) dialog().showModal();
  try {
    const clip = await getClip(clipId);
    if (getState().clip !== clipId) return;
    shown = build(clip);
    head(clip);
    startTransport(clip, shown.player);
    showPlaying(false);
    const { t } = getState();
    const worst = clip.risk?.time_us;
    const from = t !== null ? inUs(clip, t) : worst >= clip.start_us && worst <= clip.end_us ? worst : clip.start_us;
    shown.player.seek(from);
    dialog().removeAttribute("aria-busy");
    shown.cameras.load();
    await showScene(shown);
  } catch (error) {
    if (getState().clip === clipId) failed(error);
  }
}

function follow(state, changed) {
  if (changed.has("up") || changed.has("down")) {
    refreshCard(byId("clip-head"));
    shown?.strip.refresh();
  }
  if (!changed.has("clip")) return;
  if (state.clip) {
    open(state.clip);
    return;
  }
  const was = dialog().dataset.clip;
  close();
  dialog().close();
  focusCard(was);
}

/** The clip before (-1) or after (1) this one in its log. */
export function goBeside(way) {
  const clipId = shown && beside(shown.clip, way);
  if (clipId) openClip(clipId);
}

/** What keys do here: "play", "back", "next", "up", "down" or "basket". */
export function actOnClip(act) {
  if (!shown) return;
  const { clip, player } = shown;
  if (act === "play") player.toggle();
  else if (act === "back" || act === "next") {
    player.step(act === "next" ? 1 : -1);
    keepTime();
  } else if (act === "basket") toggleBasket(clip);
  else toggleMark(clip.clip_id, act);
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied. It holds what you see, and no access.");
  } catch {
    say("The browser does not let this page copy. The link is in the address bar.");
  }
}

export function startClip() {
  const act = (name) => () => actOnClip(name);
  replace(byId("clip-acts"),
    iconButton("up", "Thumbs up", act("up"), { data: { act: "up" } }),
    iconButton("down", "Thumbs down", act("down"), { data: { act: "down" } }),
    iconButton("basket", "Put into the basket", act("basket"), { data: { act: "basket" } }),
    el("button", { type: "button", class: "button", id: "more-like-this", on: { click: () =>
      setState({ ...PLAIN, like: [getState().clip], unlike: [], text: "", image: "" }) } }, icon("like"),
    el("span", {}, "More like this")),
    iconButton("link", "Copy a link to this", copyLink),
    iconButton("back", "Earlier hit", () => goHit(-1), { id: "hit-before" }),
    el("span", { id: "hit-place", class: "num faint" }),
    iconButton("next", "Next hit", () => goHit(1), { id: "hit-after" }),
    iconButton("close", "Close (Esc)", closeClip, { id: "clip-close" }));
  byId("play").addEventListener("click", act("play"));
  replace(byId("step-back"), icon("back")).addEventListener("click", act("back"));
  replace(byId("step-next"), icon("next")).addEventListener("click", act("next"));
  dialog().addEventListener("cancel", (event) => {
    event.preventDefault();
    closeClip();
  });
  dialog().addEventListener("close", () => getState().clip && closeClip());
  onState(follow);
  onBasket(() => shown && refreshCard(byId("clip-head")));
  onResults(() => shown && refreshHead());
  onTheme(() => {
    shown?.timeline.draw();
    shown?.bev.draw();
  });
  if (getState().clip) open(getState().clip);
}
