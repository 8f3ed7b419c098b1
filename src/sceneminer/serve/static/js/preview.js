// A card that plays its clip while the pointer rests on it: one camera, at its own pace, again and again.

import { getClip } from "./api.js";
import { Frames, calm, paint } from "./frames.js";
import { mainCamera } from "./format.js";

const WIDTH = 320;
const REST_MS = 120;
let playing = null;

/** Stop what plays. */
export function stopPreview() {
  playing?.stop();
  playing = null;
}

async function play(clipId, canvas, mine) {
  const clip = await getClip(clipId);
  const camera = mainCamera(clip.cameras.filter((one) => one.times_us.length));
  if (!camera || mine.over) return;
  const frames = new Frames(clipId, camera, WIDTH);
  await Promise.all(camera.times_us.map((_, at) => frames.load(at)));
  if (mine.over || !frames.pictures.some(Boolean)) return;
  const [first] = camera.times_us;
  const longUs = Math.max(clip.end_us - first, 200_000);
  const began = performance.now();
  canvas.hidden = false;
  const step = (now) => {
    if (mine.over) return;
    paint(canvas, frames.pictureAt(first + (((now - began) * 1000) % longUs)));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

/** Play `clipId` on a canvas until another plays; `now` skips the rest that a passing pointer needs. */
export function startPreview(clipId, canvas, { now = false } = {}) {
  if (!now && calm()) return;
  stopPreview();
  const mine = { over: false };
  const waiting = setTimeout(() => play(clipId, canvas, mine).catch(() => mine.stop()), now ? 0 : REST_MS);
  mine.stop = () => {
    mine.over = true;
    clearTimeout(waiting);
    canvas.hidden = true;
  };
  playing = mine;
}

export const isPlaying = (canvas) => Boolean(playing) && !playing.over && !canvas.hidden;
