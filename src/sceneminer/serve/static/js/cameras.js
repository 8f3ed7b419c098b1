// All cameras of a clip in step; a click makes one large.

import { el } from "./dom.js";
import { Frames, paint } from "./frames.js";
import { words } from "./format.js";

const AT_ONCE = 6;
const PLACES = ["front_left", "front", "front_right", "back_left", "back", "back_right"];

/** As one looks around: front row, then back row; what is called otherwise follows by name. */
function inOrder(cameras) {
  const place = (camera) => {
    const name = camera.name.toLowerCase().replace(/^cam(era)?[_-]?/, "").replace(/^ring_/, "").replace("_center", "");
    const at = PLACES.indexOf(name.replace("rear", "back"));
    return at < 0 ? PLACES.length : at;
  };
  return [...cameras].sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
}

class Cell {
  constructor(clipId, camera, onChoose) {
    this.clipId = clipId;
    this.camera = camera;
    this.frames = new Frames(clipId, camera, window.devicePixelRatio > 1.4 ? 640 : 320);
    this.large = null;
    this.canvas = el("canvas", { width: 16, height: 9 });
    this.said = el("span", { class: "cell-state" }, camera.times_us.length ? "" : "no image in this clip");
    this.node = el("button", { type: "button", class: "cell", "aria-pressed": "false", data: { camera: camera.name },
      "aria-label": `Camera ${words(camera.name)}; make it large or small`, on: { click: () => onChoose(this) } },
      this.canvas, el("span", { class: "cell-name" }, words(camera.name.replace(/^CAM_/, ""))), this.said);
  }

  show(timeUs) {
    paint(this.canvas, this.large?.pictureAt(timeUs) ?? this.frames.pictureAt(timeUs));
    const all = this.frames.pictures.length;
    if (all && this.frames.failed === all) this.said.textContent = "image could not be read";
  }

  /** Frames still to load, the one at a time first. */
  wanted(timeUs) {
    const frames = this.large ?? this.frames;
    const now = frames.indexAt(timeUs);
    const order = frames.pictures.map((_, at) => at).sort((a, b) => Math.abs(a - now) - Math.abs(b - now));
    return order.map((at, rank) => ({ rank, load: () => frames.load(at) }));
  }
}

/** {node, show(time), load(time), close()}; `load` fetches the frames around a time first. */
export function makeCameras(clip, timeNow) {
  let over = false;
  const node = el("div", { class: "cameras", data: { count: clip.cameras.length } });
  const cells = inOrder(clip.cameras).map((camera) => new Cell(clip.clip_id, camera, choose));
  node.append(...cells.map((cell) => cell.node));
  if (!cells.length) node.append(el("p", { class: "faint" }, "This clip has no images; the scene from above is of its tracks."));

  function choose(cell) {
    const enlarge = !cell.node.classList.contains("large");
    for (const one of cells) {
      one.node.classList.toggle("large", one === cell && enlarge);
      one.node.setAttribute("aria-pressed", String(one === cell && enlarge));
    }
    node.classList.toggle("one-large", enlarge);
    if (enlarge && !cell.large) {
      cell.large = new Frames(clip.clip_id, cell.camera, 1280);
      load([cell]);
    }
  }

  async function load(some = cells) {
    const jobs = some.flatMap((cell) => cell.wanted(timeNow())).sort((a, b) => a.rank - b.rank);
    const work = async () => {
      while (jobs.length && !over) {
        await jobs.shift().load();
        if (!over) show(timeNow());
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  function show(timeUs) {
    for (const cell of cells) cell.show(timeUs);
  }

  return { node, show, load, close: () => (over = true) };
}
