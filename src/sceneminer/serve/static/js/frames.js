// Frames of one camera of a clip, loaded a few at a time and shown at their own pace.

import { frameUrl } from "./api.js";

/** Images of one camera, each a promise of an ImageBitmap or null where it could not be read. */
export class Frames {
  constructor(clipId, camera, width) {
    this.clipId = clipId;
    this.camera = camera;
    this.width = width;
    this.pictures = new Array(camera.times_us.length).fill(null);
    this.asked = new Array(camera.times_us.length).fill(null);
    this.failed = 0;
  }

  /** Load frame `at`; resolves when it is there or has failed. */
  load(at) {
    this.asked[at] ??= new Promise((done) => {
      const image = new Image();
      image.decoding = "async";
      image.onload = () => {
        this.pictures[at] = image;
        done(image);
      };
      image.onerror = () => {
        this.failed += 1;
        done(null);
      };
      image.src = frameUrl(this.clipId, this.camera.name, at, this.width);
    });
    return this.asked[at];
  }

  /** The frame at a time: the last one not after it. */
  indexAt(timeUs) {
    const times = this.camera.times_us;
    let at = 0;
    while (at + 1 < times.length && times[at + 1] <= timeUs) at += 1;
    return at;
  }

  /** The picture for a time, or the nearest one before it that has come. */
  pictureAt(timeUs) {
    for (let at = this.indexAt(timeUs); at >= 0; at -= 1) if (this.pictures[at]) return this.pictures[at];
    return this.pictures.find(Boolean) ?? null;
  }
}

/** Draw a picture over all of a canvas, whose size follows the picture. */
export function paint(canvas, picture) {
  if (!picture) return;
  if (canvas.width !== picture.naturalWidth || canvas.height !== picture.naturalHeight) {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
