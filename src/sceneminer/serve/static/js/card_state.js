// What a card, or the head of an open clip, shows of marks and the basket.

import { inBasket } from "./basket_items.js";
import { markOf } from "./marks.js";

/** Press the buttons of what holds for the element's clip. */
export function refreshCard(card) {
  const { clip } = card.dataset;
  const mark = markOf(clip);
  const pressed = { up: mark === "up", down: mark === "down", basket: inBasket(clip) };
  for (const button of card.querySelectorAll("[data-act]")) {
    button.setAttribute("aria-pressed", String(pressed[button.dataset.act]));
  }
  card.dataset.mark = mark ?? "";
}
