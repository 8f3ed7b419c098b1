// A lasso on the map: a line drawn by the pointer becomes a polygon of at most 64 points.

const MOST = 64;
const NEAR_PX = 6;
const CLICK_PX = 10;

/** Every so many points of a line, at most `MOST`. */
function thinned(line) {
  const every = Math.ceil(line.length / MOST);
  return line.filter((_, at) => at % every === 0);
}

/** The polygon of a line in pixels; a click becomes a small square around it. */
export function polygonOfLine(line) {
  const [x, y] = line[0];
  const wide = Math.max(...line.map(([px, py]) => Math.hypot(px - x, py - y)));
  if (wide < CLICK_PX || line.length < 3) {
    return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([dx, dy]) => [x + dx * CLICK_PX, y + dy * CLICK_PX]);
  }
  return thinned(line);
}

/** Add a point where the pointer has gone far enough. */
export function extend(line, point) {
  const last = line.at(-1);
  if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) >= NEAR_PX) line.push(point);
}

/** As text for the address, with as many digits as the map's bounds need. */
export function asText(polygon, [x0, y0, x1, y1]) {
  const digits = Math.max(0, Math.min(8, 4 - Math.floor(Math.log10(Math.max(x1 - x0, y1 - y0, 1e-6)))));
  return polygon.map((point) => point.map((part) => part.toFixed(digits)).join(",")).join(";");
}
