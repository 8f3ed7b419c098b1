// Drawing many points: WebGL2 where there is one (a million points), else a canvas that draws a part of them.

const MOST_2D = 150_000;
const VERTEX = `#version 300 es
in vec2 place; in float value;
uniform vec2 middle; uniform vec2 scale; uniform float size; uniform float alpha; uniform int plain;
uniform vec3 low; uniform vec3 centre; uniform vec3 high; uniform vec3 none;
out vec4 tint;
void main() {
  gl_Position = vec4((place - middle) * scale, 0.0, 1.0);
  gl_PointSize = size;
  float v = value / 254.0;
  vec3 ramp = v < 0.5 ? mix(low, centre, v * 2.0) : mix(centre, high, v * 2.0 - 1.0);
  bool unknown = value > 254.5;
  tint = plain == 1 ? vec4(high, alpha) : unknown ? vec4(none, alpha * 0.5) : vec4(ramp, alpha);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint; out vec4 colour;
void main() {
  float r = length(gl_PointCoord - 0.5);
  if (r > 0.5) discard;
  colour = vec4(tint.rgb * tint.a, tint.a);
}`;

function program(gl) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return gl.getProgramParameter(made, gl.LINK_STATUS) ? made : null;
}

function attribute(gl, made, name, values, size, type) {
  const at = gl.getAttribLocation(made, name);
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, size, type, false, 0, 0);
  return buffer;
}

function drawGl(gl, made, points, values) {
  const n = points.length / 2;
  gl.useProgram(made);
  attribute(gl, made, "place", points, 2, gl.FLOAT);
  const buffer = attribute(gl, made, "value", values, 1, gl.UNSIGNED_BYTE);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const at = (name) => gl.getUniformLocation(made, name);
  return {
    words: "",
    setValues(next) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, next, gl.STATIC_DRAW);
    },
    draw(view) {
      gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(at("middle"), ...view.middle);
      gl.uniform2f(at("scale"), (2 * view.zoom) / gl.canvas.width, (2 * view.zoom) / gl.canvas.height);
      gl.uniform1f(at("size"), view.size);
      gl.uniform1f(at("alpha"), view.alpha);
      gl.uniform1i(at("plain"), view.plain ? 1 : 0);
      for (const name of ["low", "centre", "high", "none"]) gl.uniform3f(at(name), ...view.colours[name]);
      gl.drawArrays(gl.POINTS, 0, n);
    },
  };
}

const mix = (a, b, share) => a.map((part, at) => Math.round(255 * (part + share * (b[at] - part))));

function ramp({ low, centre, high, none }) {
  const made = Array.from({ length: 255 }, (_, value) => {
    const v = value / 254;
    return v < 0.5 ? mix(low, centre, 2 * v) : mix(centre, high, 2 * v - 1);
  });
  return [...made, mix(none, none, 0)].map((rgb) => `rgb(${rgb.join(" ")})`);
}

function draw2d(canvas, points, values) {
  const context = canvas.getContext("2d");
  const n = points.length / 2;
  const every = Math.ceil(n / MOST_2D);
  let now = values;
  return {
    words: every > 1 ? `Without WebGL, one point in ${every} is drawn.` : "",
    setValues: (next) => (now = next),
    draw(view) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      const colours = ramp(view.colours);
      const [mx, my] = view.middle;
      for (let at = 0; at < n; at += every) {
        const value = now[at];
        context.globalAlpha = value === 255 && !view.plain ? view.alpha / 2 : view.alpha;
        context.fillStyle = view.plain ? colours[254] : colours[value];
        const x = canvas.width / 2 + (points[2 * at] - mx) * view.zoom;
        const y = canvas.height / 2 - (points[2 * at + 1] - my) * view.zoom;
        context.fillRect(x - view.size / 2, y - view.size / 2, view.size, view.size);
      }
      context.globalAlpha = 1;
    },
  };
}

/**
 * Draws `points` [n][2] coloured by `values` [n] (0..254; 255 is null). `draw(view)` takes middle (world), zoom
 * (pixels a unit), size (pixels), alpha, plain, and colours low, centre, high, none as rgb in [0, 1].
 */
export function pointsOn(canvas, points, values) {
  const gl = canvas.getContext("webgl2", { premultipliedAlpha: true, antialias: false });
  const made = gl && program(gl);
  if (made) return drawGl(gl, made, points, values);
  return draw2d(canvas, points, values);
}
