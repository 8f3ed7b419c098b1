// A query as a small JSON file: saved here, and opened again by dropping it on the page.

import { byId } from "./dom.js";
import { getResults, keepImage, onResults } from "./results.js";
import { say } from "./say.js";
import { PLAIN } from "./search.js";
import { setState } from "./state.js";

const FORMAT = 1;
const MAX_BYTES = 4 * 1024 * 1024;

function save() {
  const text = `${JSON.stringify(getResults().query, null, 1)}\n`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "query.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

const isText = (value) => value === undefined || typeof value === "string";
const areIds = (value) => value === undefined || (Array.isArray(value) && value.every((id) => typeof id === "string"));

/** Show what a saved query finds. */
export async function openQuery(file) {
  let query = null;
  try {
    if (file.size <= MAX_BYTES) query = JSON.parse(await file.text());
  } catch {
    query = null;
  }
  const { text, where, like, unlike, image, format } = query ?? {};
  if (format !== FORMAT || ![text, where, image?.name].every(isText) || ![like, unlike].every(areIds)) {
    say(`Expected a saved query of format ${FORMAT}, found something else in ${file.name}.`, { bad: true });
    return;
  }
  if (image) keepImage(image.name, query);
  setState({ ...PLAIN, text: text ?? "", where: where ?? "", like: like ?? [], unlike: unlike ?? [],
    image: image?.name ?? "" });
}

export function startSavedQuery() {
  byId("save-query").addEventListener("click", save);
  onResults((results) => (byId("save-query").hidden = !results.query));
}
