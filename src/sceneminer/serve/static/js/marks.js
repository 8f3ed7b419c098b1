// Thumbs up and down, at most 200, kept in the address.

import { say } from "./say.js";
import { MAX_MARKS, getState, setState } from "./state.js";

/** "up", "down" or null. */
export function markOf(clipId) {
  const { up, down } = getState();
  return up.includes(clipId) ? "up" : down.includes(clipId) ? "down" : null;
}

/** Mark a clip, or take the mark away where it has it already. */
export function toggleMark(clipId, way) {
  const { up, down } = getState();
  const was = markOf(clipId);
  const rest = { up: up.filter((id) => id !== clipId), down: down.filter((id) => id !== clipId) };
  if (was !== way) {
    if (rest.up.length + rest.down.length >= MAX_MARKS) {
      say(`At most ${MAX_MARKS} clips can be marked. Take some marks away first.`, { bad: true });
      return;
    }
    rest[way].push(clipId);
  }
  setState(rest, { replace: true });
}
