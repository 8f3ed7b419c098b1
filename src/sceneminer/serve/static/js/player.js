// The clock of a clip: plays, stops, steps and seeks; everything that moves follows it.

export class Player {
  /** `times_us`: the steps; `onTime(t_us)` and `onPlaying(playing)` hear of changes. */
  constructor({ startUs, endUs, timesUs, onTime, onPlaying }) {
    Object.assign(this, { startUs, endUs, timesUs, onTime, onPlaying });
    this.timeUs = startUs;
    this.speed = 1;
    this.playing = false;
    this.over = false;
  }

  seek(timeUs) {
    this.timeUs = Math.max(this.startUs, Math.min(this.endUs, timeUs));
    this.onTime(this.timeUs);
  }

  /** To the next (1) or earlier (-1) measurement. */
  step(way) {
    this.pause();
    const later = this.timesUs.filter((time) => (way > 0 ? time > this.timeUs : time < this.timeUs));
    if (later.length) this.seek(way > 0 ? Math.min(...later) : Math.max(...later));
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.playing || this.over) return;
    if (this.timeUs >= this.endUs) this.timeUs = this.startUs;
    this.playing = true;
    this.onPlaying(true);
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing || this.over) return;
      const next = this.timeUs + (now - before) * 1000 * this.speed;
      before = now;
      this.seek(next);
      if (next >= this.endUs) this.pause();
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.onPlaying(false);
  }

  close() {
    this.pause();
    this.over = true;
  }
}
