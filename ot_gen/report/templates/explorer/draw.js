// Drawing: colours of the page's scheme, shadings, pictures, curves.

const HUES = ["#3d7edb", "#e8731a", "#2f9e5b", "#d93f4c", "#8d63d6", "#a0704f", "#dc5fae", "#7d8793", "#a99c12", "#17a2b3"];
const hueOf = (label, count) => (count <= HUES.length ? HUES[label] : `hsl(${(label * 137.5) % 360} 58% 52%)`);
const inks = new Map(); // of the present scheme, read once
function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return inks.get(name);
}
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) });
}

// A canvas on the page as large as it is shown, in the screen's own pixels; its context draws in those of the page.
function fitted(canvas) {
  const { width, height } = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const [across, up] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== across || canvas.height !== up) Object.assign(canvas, { width: across, height: up });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// Many images in one picture, and their mixtures.
class Sheet {
  constructor({ url, columns, width, height }) {
    Object.assign(this, { columns, width, height });
    this.image = new Image();
    this.image.src = url;
  }
  async load() {
    await this.image.decode();
    const board = canvasOf(this.image.naturalWidth, this.image.naturalHeight), context = board.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.image, 0, 0);
    this.pixels = context.getImageData(0, 0, board.width, board.height);
    this.mixed = canvasOf(this.width, this.height);
    return this;
  }
  draw(context, number, x, y, width, height) {
    const left = (number % this.columns) * this.width, top = Math.floor(number / this.columns) * this.height;
    context.drawImage(this.image, left, top, this.width, this.height, x, y, width, height);
  }
  // The weighted mean of some images.
  mix(numbers, weights) {
    const data = new ImageData(this.width, this.height), { pixels } = this;
    const starts = numbers.map((n) => 4 * (Math.floor(n / this.columns) * this.height * pixels.width + (n % this.columns) * this.width));
    for (let row = 0, to = 0; row < this.height; row++)
      for (let step = 0; step < 4 * this.width; step++, to++)
        data.data[to] = starts.reduce((sum, start, k) => sum + weights[k] * pixels.data[start + 4 * row * pixels.width + step], 0);
    this.mixed.getContext("2d").putImageData(data, 0, 0);
    return this.mixed;
  }
  // What stands at (x, y) between the images at the nodes of a grid.
  at(grid, x, y) {
    grid.locate(x, y);
    const { first, s, t, side } = grid;
    return this.mix([first, first + 1, first + side, first + side + 1], [(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t]);
  }
  put(context, picture, x, y, width, height) {
    context.imageSmoothingEnabled = width / this.width < 1;
    context.drawImage(picture, x, y, width, height);
  }
}

// Values at the nodes as a picture, one pixel a node, from the colour `low` to the colour `high`.
function shading(values, side, low, high) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  const from = sorted[Math.floor(0.005 * (sorted.length - 1))], to = sorted[Math.ceil(0.995 * (sorted.length - 1))];
  const board = canvasOf(side, side), context = board.getContext("2d"), data = context.createImageData(side, side);
  const [first, second] = [rgb(low), rgb(high)];
  for (let node = 0; node < side * side; node++) {
    const value = values[node], share = !(value > from) ? 0 : Math.min(1, (value - from) / (to - from));
    const at = 4 * ((side - 1 - Math.floor(node / side)) * side + (node % side));
    for (let k = 0; k < 3; k++) data.data[at + k] = first[k] + share * (second[k] - first[k]);
    data.data[at + 3] = 255;
  }
  context.putImageData(data, 0, 0);
  return { board, from, to };
}

// Cells of atoms: each in the hue of its class, or one of its own, a little lighter or darker than its neighbours.
function cellBoard(cells, side, labels, count, ground) {
  const board = canvasOf(side, side), context = board.getContext("2d"), data = context.createImageData(side, side);
  const base = rgb(ground), colours = new Map();
  const colour = (atom) => {
    if (!colours.has(atom)) {
      const hash = (Math.imul(atom + 1, 2654435761) >>> 0) / 2 ** 32;
      const hue = rgb(labels && count <= HUES.length ? HUES[labels[atom]] : HUES[atom % HUES.length]);
      const share = 0.28 + 0.5 * hash;
      colours.set(atom, hue.map((value, k) => base[k] + share * (value - base[k])));
    }
    return colours.get(atom);
  };
  for (let node = 0; node < side * side; node++) {
    const at = 4 * ((side - 1 - Math.floor(node / side)) * side + (node % side));
    data.data.set([...colour(cells[node]), 255], at);
  }
  context.putImageData(data, 0, 0);
  return board;
}

// Lines on which values at the nodes are equal to a level: marching squares.
function contour(grid, values, level, draw) {
  const { side } = grid;
  for (let j = 0; j + 1 < side; j++)
    for (let i = 0; i + 1 < side; i++) {
      const nodes = [j * side + i, j * side + i + 1, (j + 1) * side + i + 1, (j + 1) * side + i], ends = [];
      for (let k = 0; k < 4; k++) {
        const a = nodes[k], b = nodes[(k + 1) % 4], [p, q] = [values[a] - level, values[b] - level];
        if (p < 0 === q < 0) continue;
        const share = p / (p - q), from = grid.point(a), to = grid.point(b);
        ends.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
      }
      if (ends.length >= 2) draw(ends[0], ends[1]);
    }
}

function polyline(context, points, close = false) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (close) context.closePath();
  context.stroke();
}

// A curve with a halo in the colour of the page, so that it stands out on any shading.
function curve(context, points, colour, { dash = [], width = 2.25 } = {}) {
  Object.assign(context, { lineJoin: "round", lineCap: "round" });
  context.setLineDash([]);
  Object.assign(context, { strokeStyle: ink("page"), lineWidth: width + 3, globalAlpha: 0.75 });
  polyline(context, points);
  context.setLineDash(dash);
  Object.assign(context, { strokeStyle: colour, lineWidth: width, globalAlpha: 1 });
  polyline(context, points);
  context.setLineDash([]);
}

function dot(context, [x, y], radius, fill, stroke = null, width = 2) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  if (stroke) {
    Object.assign(context, { strokeStyle: stroke, lineWidth: width });
    context.stroke();
  }
}

function lettered(context, text, [x, y], colour, font) {
  Object.assign(context, { font, textAlign: "center", textBaseline: "middle", lineJoin: "round" });
  Object.assign(context, { strokeStyle: ink("page"), lineWidth: 4 });
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const minus = (text) => text.replace("-", "−");
function shown(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  return minus(size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3))));
}
// Round numbers between two ends, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / count, unit = 10 ** Math.floor(Math.log10(raw));
  const by = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw), made = [];
  for (let tick = Math.ceil(low / by) * by; tick <= high + 1e-9 * by; tick += by) made.push(Math.abs(tick) < 1e-9 * by ? 0 : tick);
  return made;
}

// A square or a frame of a plane on a canvas, with its axes.
class Frame {
  constructor(width, height, [left, bottom, across, up], edges = { left: 34, bottom: 30, top: 8, right: 8 }) {
    const room = [width - edges.left - edges.right, height - edges.top - edges.bottom];
    this.scale = Math.min(room[0] / across, room[1] / up);
    this.x0 = edges.left + (room[0] - this.scale * across) / 2;
    this.y0 = edges.top + (room[1] + this.scale * up) / 2;
    Object.assign(this, { left, bottom, across, up });
    this.box = [this.x0, this.y0 - this.scale * up, this.scale * across, this.scale * up];
  }
  to([x, y]) {
    return [this.x0 + this.scale * (x - this.left), this.y0 - this.scale * (y - this.bottom)];
  }
  from(x, y) {
    return [this.left + (x - this.x0) / this.scale, this.bottom + (this.y0 - y) / this.scale];
  }
  axes(context, [across, up]) {
    const [x, y, width, height] = this.box;
    Object.assign(context, { strokeStyle: ink("line"), lineWidth: 1, fillStyle: ink("quiet"), font: "12px system-ui, sans-serif" });
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    const count = Math.max(2, Math.round(width / 90));
    Object.assign(context, { textAlign: "center", textBaseline: "top" });
    for (const tick of ticks(this.left, this.left + this.across, count)) {
      const at = this.to([tick, 0])[0];
      if (at > x + 12 && at < x + width - context.measureText(across).width - 20) context.fillText(shown(tick), at, y + height + 5);
    }
    context.textAlign = "right";
    context.fillText(across, x + width, y + height + 5);
    context.textBaseline = "middle";
    for (const tick of ticks(this.bottom, this.bottom + this.up, count)) {
      const at = this.to([0, tick])[1];
      if (at > y + 12 && at < y + height - 8) context.fillText(shown(tick), x - 5, at);
    }
    context.save();
    context.translate(x + 12, y + 8);
    context.rotate(-Math.PI / 2);
    context.textAlign = "right";
    Object.assign(context, { strokeStyle: ink("page"), lineWidth: 4 });
    context.strokeText(up, 0, 0);
    context.fillText(up, 0, 0);
    context.restore();
  }
}
