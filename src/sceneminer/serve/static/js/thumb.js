// The small picture of a clip; where a clip has none, that is said in its place.

import { thumbUrl } from "./api.js";
import { el } from "./dom.js";

/** Fills the box that it is put into. */
export function thumb(clipId) {
  const image = el("img", { src: thumbUrl(clipId), alt: "", loading: "lazy", decoding: "async", class: "thumb" });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "thumb none" }, "no image")));
  return image;
}
