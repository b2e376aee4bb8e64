// The plane of codes: shading, codes, curves, cells, and the points of a flow on their way.

const plane = get("plane");
let frame, still;

function shaded(view, context) {
  const [x, y, width, height] = frame.box, key = `${state.shade} ${ink("page")}`;
  const put = (board, smooth) => {
    context.imageSmoothingEnabled = smooth;
    context.drawImage(board, 0.5, 0.5, side - 1, side - 1, x, y, width, height);
  };
  const values = { volume: view.volume.map(Math.log), density: view.density }[state.shade];
  if (values) {
    const made = (view.boards[key] ??= shading(values, side, ink("low"), ink("high")));
    put(made.board, true);
    const [low, high] = state.shade === "volume" ? [Math.exp(made.from), Math.exp(made.to)] : [made.from, made.to];
    get("ramp-low").textContent = `${state.shade === "volume" ? "√det M" : "density"} ${shown(low)}`;
    get("ramp-high").textContent = shown(high);
  }
  get("ramp").hidden = !values;
  if (state.shade === "cells") put((view.boards[key] ??= cellBoard(view.cells, side, atoms.labels, classes, ink("page"))), false);
  if (state.shade === "images") {
    const count = Math.max(8, Math.min(coarse, Math.round(width / 30))), step = width / count, { left, bottom, size } = view.grid;
    context.imageSmoothingEnabled = true;
    for (let row = 0; row < count; row++)
      for (let column = 0; column < count; column++) {
        const at = view.images.nearest(left + ((column + 0.5) / count) * size, bottom + ((row + 0.5) / count) * size);
        view.sheet.draw(context, at, x + column * step, y + height - (row + 1) * step, step - 1, step - 1);
      }
  }
}

function cloud(context, of, points, labels, radius, alpha) {
  context.globalAlpha = alpha;
  for (let n = 0; n < points.length / 2; n++) {
    const label = labels ? labels[n] : null;
    if (!isShown(label)) continue;
    context.fillStyle = colour(label);
    const [x, y] = of.to([points[2 * n], points[2 * n + 1]]);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

function names(context, of, points, labels) {
  if (!labels || classes > 24) return;
  for (let label = 0; label < classes; label++) {
    if (!isShown(label)) continue;
    const own = [...labels.keys()].filter((n) => labels[n] === label);
    if (own.length < 3) continue;
    const middle = [0, 1].map((k) => median(own.map((n) => points[2 * n + k])));
    lettered(context, held.classes[label].slice(0, 12), of.to(middle), colour(label), "700 15px system-ui, sans-serif");
  }
}

function clipped(context, of, draw) {
  context.save();
  context.beginPath();
  context.rect(...of.box);
  context.clip();
  draw();
  context.restore();
}

// What does not move with the pointer is drawn once.
function drawStill() {
  const view = state.view, { context, width, height } = fitted(plane), { left, bottom, size } = view.grid;
  frame = new Frame(width, height, [left, bottom, size, size]);
  clipped(context, frame, () => {
    shaded(view, context);
    if (state.tree) {
      const most = Math.max(...state.tree.reached.filter(Number.isFinite));
      Object.assign(context, { strokeStyle: ink("ink"), lineWidth: 0.8, globalAlpha: 0.45 });
      context.beginPath();
      for (const level of ticks(0, most, 9).slice(1))
        contour(view.grid, state.tree.reached, level, (a, b) => { context.moveTo(...frame.to(a)); context.lineTo(...frame.to(b)); });
      context.stroke();
      context.globalAlpha = 1;
    }
    if (get("dots").checked) {
      cloud(context, frame, view.points, view.labels, 2.1, state.shade === "images" ? 0.5 : 0.75);
      names(context, frame, view.points, view.labels);
    }
  });
  frame.axes(context, view.axes);
  still = canvasOf(plane.width, plane.height);
  still.getContext("2d").drawImage(plane, 0, 0);
}

function trails(context, of, flat) {
  const where = moving(flat, flow.count), last = Math.floor(state.frame);
  const label = (n) => (flow.labels ? flow.labels[n] : null), own = held.views.length > 1 && flow.labels ? state.view.labels?.[0] : null;
  for (let n = 0; n < flow.count; n++) {
    if (!isShown(label(n)) || (own != null && label(n) !== own)) continue;
    const points = [];
    for (let at = 0; at <= last; at++) points.push(of.to(where(at, n)));
    points.push(of.to(where(state.frame, n)));
    Object.assign(context, { strokeStyle: flow.labels ? colour(label(n)) : ink("path"), lineWidth: 1, globalAlpha: 0.35 });
    polyline(context, points);
    context.globalAlpha = 0.95;
    dot(context, points[points.length - 1], 2.4, flow.labels ? colour(label(n)) : ink("path"), ink("page"), 0.8);
    context.globalAlpha = 1;
  }
}

function ends(context, of, place) {
  for (const [point, name] of [[state.a, "A"], [state.b, "B"]]) {
    if (!point) continue;
    const [x, y] = of.to(place(point));
    dot(context, [x, y], 9.5, ink("ink"), ink("page"), 2);
    Object.assign(context, { fillStyle: ink("page"), font: "700 11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillText(name, x, y + 0.5);
  }
}

function drawPlane(found) {
  const ratio = window.devicePixelRatio || 1, { context } = fitted(plane), view = state.view;
  context.drawImage(still, 0, 0, still.width / ratio, still.height / ratio);
  clipped(context, frame, () => {
    if (view.cells && state.pointer) {
      const cell = view.cells[view.grid.nearest(...state.pointer)], half = (view.grid.cell / 2) * frame.scale;
      Object.assign(context, { fillStyle: ink("path"), globalAlpha: 0.35 });
      view.cells.forEach((other, node) => {
        if (other !== cell) return;
        const [x, y] = frame.to(view.grid.point(node));
        context.fillRect(x - half, y - half, 2 * half + 0.5, 2 * half + 0.5);
      });
      context.globalAlpha = 1;
    }
    if (flow && !flow.inData && state.trails) trails(context, frame, flow.paths[view.number]);
    if (found) {
      curve(context, found.line.nodes.map((point) => frame.to(point)), ink("ink"), { dash: [6, 6], width: 1.75 });
      curve(context, found.path.nodes.map((point) => frame.to(point)), ink("path"));
    }
    ends(context, frame, (point) => point);
    if (state.pointer) {
      const [x, y] = frame.to(state.pointer);
      Object.assign(context, { strokeStyle: ink("page"), lineWidth: 4 });
      for (const colour of [ink("page"), ink("ink")]) {
        context.strokeStyle = colour;
        context.beginPath();
        context.arc(x, y, 7, 0, 2 * Math.PI);
        context.stroke();
        context.lineWidth = 1.5;
      }
    }
  });
}
