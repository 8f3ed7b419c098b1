// The clips of one hit, opened out below its card: each can be looked at and marked by itself.

import { el, iconButton } from "./dom.js";
import { toggleMark } from "./marks.js";
import { refreshCard } from "./card_state.js";
import { startPreview, stopPreview } from "./preview.js";
import { getState, hashOf } from "./state.js";
import { thumb } from "./thumb.js";

function member(clipId, at, count) {
  const address = () => hashOf({ ...getState(), clip: clipId, t: null });
  const canvas = el("canvas", { class: "film", hidden: true, "aria-hidden": "true" });
  const link = el("a", { class: "member-open", href: address(), "aria-label": `Open clip ${at + 1} of ${count}`,
    on: { click: () => link.setAttribute("href", address()) } },
  thumb(clipId), canvas);
  link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && startPreview(clipId, canvas));
  link.addEventListener("pointerleave", () => stopPreview());
  const mark = (way) =>
    iconButton(way, `Thumbs ${way} for clip ${at + 1}`, () => toggleMark(clipId, way), { data: { act: way } });
  const item = el("li", { class: "member", data: { clip: clipId } }, el("div", { class: "picture" }, link),
    el("div", { class: "acts" }, el("span", { class: "num faint" }, `${at + 1}`), mark("up"), mark("down")));
  refreshCard(item);
  return item;
}

/** A button that opens and closes the list of a hit's clips after its card; null for a hit of one clip. */
export function membersButton(hit) {
  const count = hit.clip_ids.length;
  if (count < 2) return null;
  let list = null;
  const button = el("button", { type: "button", class: "link members-button", "aria-expanded": "false" },
    `${count} clips`);
  button.addEventListener("click", () => {
    if (list) list.remove();
    list = list ? null : el("ol", { class: "members", "aria-label": `Clips of ${hit.log_name}` },
      hit.clip_ids.map((clipId, at) => member(clipId, at, count)));
    if (list) button.closest(".card").after(list);
    button.setAttribute("aria-expanded", String(Boolean(list)));
  });
  return button;
}
