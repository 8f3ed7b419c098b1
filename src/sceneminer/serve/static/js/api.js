// The server's answers. Every failure is an ApiError with one sentence that can be shown.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const HINTS = {
  0: "The server does not answer. Is sceneminer serve still running?",
  401: "This page has no access. Open the address that sceneminer serve printed.",
  403: "The server refused this page. Open it at the address that sceneminer serve printed.",
  429: "The server is busy with other requests. Try again in a moment.",
  503: "The server is busy with other requests. Try again in a moment.",
};

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, HINTS[0]);
  }
  if (response.ok) return response;
  let said = null;
  try {
    said = (await response.json()).error;
  } catch {
    said = null;
  }
  throw new ApiError(response.status, HINTS[response.status] ?? said ?? `The server answered ${response.status}.`);
}

export async function getJson(path, signal) {
  return (await answer(path, { signal })).json();
}

export async function postJson(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await answer(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
}

export async function getBytes(path, signal) {
  return (await answer(path, { signal })).arrayBuffer();
}

const KEPT = 300;
const clips = new Map();

/** What there is to know of a clip; kept, since hovering, opening and stepping ask again. */
export function getClip(clipId) {
  if (!clips.has(clipId)) {
    if (clips.size >= KEPT) clips.delete(clips.keys().next().value);
    const asked = getJson(`/api/clips/${encodeURIComponent(clipId)}`);
    asked.catch(() => clips.delete(clipId));
    clips.set(clipId, asked);
  }
  return clips.get(clipId);
}

export const getScene = (clipId, signal) => getJson(`/api/clips/${encodeURIComponent(clipId)}/scene`, signal);
export const thumbUrl = (clipId) => `/media/thumbs/${encodeURIComponent(clipId)}`;

export function frameUrl(clipId, camera, frame, width) {
  return `/media/clips/${encodeURIComponent(clipId)}/${encodeURIComponent(camera)}/${frame}?w=${width}`;
}
