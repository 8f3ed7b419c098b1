// What lies in the basket: kept in this browser, for this index.

import { keep, kept } from "./kept.js";
import { say } from "./say.js";

const MAX_ITEMS = 2000;
let name = "basket";
let items = [];
const listeners = [];

export function onBasket(act) {
  listeners.push(act);
}

function changed() {
  if (!keep(name, items)) say("This browser keeps nothing: the basket is lost when the page is closed.");
  for (const act of listeners) act(items);
}

export const getBasket = () => items;
export const inBasket = (clipId) => items.some((item) => item.clip_id === clipId);

/** Put in a hit, with all its clips, or one clip alone. */
export function addToBasket(...hits) {
  const fresh = hits.filter((hit) => !inBasket(hit.clip_id));
  if (items.length + fresh.length > MAX_ITEMS) {
    say(`The basket holds at most ${MAX_ITEMS} clips. Make a selection of it first.`, { bad: true });
    return;
  }
  const item = ({ clip_id, clip_ids = [clip_id], log_name, start_us, end_us, log_start_us = null }) =>
    ({ clip_id, clip_ids, log_name, start_us, end_us, log_start_us });
  items = [...items, ...fresh.map(item)];
  changed();
}

export function removeFromBasket(clipId) {
  items = items.filter((item) => item.clip_id !== clipId);
  changed();
}

export function emptyBasket() {
  items = [];
  changed();
}

export function startBasketItems(info) {
  name = `basket.${info.name}`;
  const found = kept(name);
  const sound = (item) =>
    typeof item?.clip_id === "string" && Array.isArray(item.clip_ids) && Number.isFinite(item.start_us);
  items = Array.isArray(found) ? found.filter(sound).slice(0, MAX_ITEMS) : [];
}
