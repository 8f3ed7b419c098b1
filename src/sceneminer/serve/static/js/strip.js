// The clips of the log around this one, as pictures in a row: to look along the log and to mark.

import { el } from "./dom.js";
import { clock } from "./format.js";
import { markOf } from "./marks.js";
import { thumb } from "./thumb.js";

const SAID = { up: "liked", down: "disliked" };

function frame(clip, one, onOpen) {
  const at = clock(one.start_us - clip.log_start_us);
  const isThis = one.clip_id === clip.clip_id;
  return el("li", {}, el("button", { type: "button", class: "frame", "aria-current": isThis ? "true" : null,
    data: { clip: one.clip_id, at }, on: { click: () => onOpen(one.clip_id) } },
  thumb(one.clip_id),
  el("span", { class: "num" }, at)));
}

/** {node, refresh(), centre()}; `onOpen(clip_id)` hears of clicks. */
export function makeStrip(clip, onOpen) {
  const node = el("ol", { class: "strip", "aria-label": "Clips of this log" },
    clip.timeline.clips.map((one) => frame(clip, one, onOpen)));
  return {
    node,
    refresh() {
      for (const button of node.querySelectorAll("button")) {
        const mark = markOf(button.dataset.clip);
        button.dataset.mark = mark ?? "";
        button.setAttribute("aria-label", `Clip at ${button.dataset.at}${mark ? `, ${SAID[mark]}` : ""}`);
      }
    },
    centre() {
      const now = node.querySelector("[aria-current]");
      if (now) node.scrollLeft = now.offsetLeft - node.offsetLeft - (node.clientWidth - now.offsetWidth) / 2;
    },
  };
}

/** The clip before (-1) or after (1) this one in its log, or null. */
export function beside(clip, way) {
  const { clips } = clip.timeline;
  const at = clips.findIndex((one) => one.clip_id === clip.clip_id);
  return at < 0 ? null : (clips[at + way]?.clip_id ?? null);
}
