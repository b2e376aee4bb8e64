// What the page does: the pointer, two clicks, the slider, the keys, and the words about them.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function readOut() {
  const view = state.view, rows = [];
  if (state.pointer) {
    const [x, y] = state.pointer, node = view.grid.nearest(x, y);
    const short = (axis) => axis.split(" (")[0];
    rows.push([`${held.latent === 2 ? "z" : `${short(view.axes[0])}, ${short(view.axes[1]).replace("direction ", "")}`}`, `${shown(x)}, ${shown(y)}`]);
    if (!isImages) rows.push(["g(z)", meshPlace(view)(x, y).map(shown).join(", ")]);
    const [a, b, c] = view.metric.at(x, y);
    rows.push(["√det M", shown(Math.sqrt(Math.max(0, a * c - b * b)))]);
    rows.push(["density of ζ", shown(view.grid.value(view.density, 1, 0, x, y))]);
    if (state.tree && !state.b) rows.push(["from A", shown(view.grid.value(state.tree.reached, 1, 0, x, y))]);
    if (view.cells) {
      const atom = view.cells[node], label = atoms.labels ? held.classes[atoms.labels[atom]] : null;
      rows.push(["cell", label === null ? `atom ${atom + 1} of ${atoms.count}` : `an atom of class ${label}`]);
    }
  }
  get("readout").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div"), [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = name;
    dd.textContent = value;
    row.append(dt, dd);
    return row;
  }));
}

function tell(found) {
  const hint = get("hint");
  if (!state.a) hint.textContent = "Click a point of the plane, then another.";
  else if (!state.b) hint.textContent = "A is set. Move to see the path from A; a click sets B.";
  else {
    const saved = 100 * (1 - found.path.length / found.line.length);
    hint.textContent = `The path is ${shown(Math.max(0, saved))} % shorter than the straight line. A further click begins anew.`;
  }
  get("straight").textContent = found ? `length ${shown(found.line.length)}` : "";
  get("shortest").textContent = found ? `length ${shown(found.path.length)}` : "";
}

// --- one drawing a frame of the screen ------------------------------------------------------------------------------
let asked = null;
function refresh(whole = false) {
  if (asked === null) requestAnimationFrame(draw);
  asked = asked || whole;
}
function draw() {
  const whole = asked;
  asked = null;
  if (whole || !still) {
    drawStill();
    if (!isImages) drawDataStill();
  }
  const to = state.b ?? (state.a && state.pointer), found = state.a && to ? connect(state.view.metric, state.a, to, state.tree) : null;
  drawPlane(found);
  if (!isImages) drawData(found);
  else if (state.pointer) drawImages();
  if (isImages)
    for (const [id, nodes] of [["line-strip", found?.line.nodes], ["path-strip", found?.path.nodes]]) {
      get(id).hidden = !nodes;
      if (nodes) drawStrip(id, nodes);
    }
  readOut();
  tell(found);
  document.body.dataset.drawn = Number(document.body.dataset.drawn ?? 0) + 1;
}

function choose(point) {
  if (!state.a || state.b) Object.assign(state, { a: point, b: null, tree: distances(state.view.metric, point) });
  else state.b = point;
  refresh(true);
}
function clear() {
  Object.assign(state, { a: null, b: null, tree: null });
  refresh(true);
}
function pointAt(event) {
  const box = plane.getBoundingClientRect(), point = frame.from(event.clientX - box.left, event.clientY - box.top);
  return state.view.grid.clamp(point);
}

// An example to begin with: the middles of the two classes that are farthest apart, or two codes.
function example() {
  const { points, labels } = state.view, all = places(points);
  const inner = (own) => {
    const middle = [0, 1].map((k) => median(own.map((point) => point[k])));
    return own.reduce((one, other) => (Math.hypot(other[0] - middle[0], other[1] - middle[1]) < Math.hypot(one[0] - middle[0], one[1] - middle[1]) ? other : one));
  };
  const groups = labels && new Set(labels).size > 1 ? [...new Set(labels)].map((label) => all.filter((_, n) => labels[n] === label)).filter((own) => own.length > 4) : [];
  const middles = groups.length > 1 ? groups.map(inner) : all.slice(0, 12);
  let best = [-1];
  for (const a of middles) for (const b of middles) best = Math.hypot(a[0] - b[0], a[1] - b[1]) > best[0] ? [Math.hypot(a[0] - b[0], a[1] - b[1]), a, b] : best;
  state.a = state.view.grid.clamp(best[1]);
  state.b = state.view.grid.clamp(best[2]);
  state.tree = distances(state.view.metric, state.a);
  state.pointer ??= state.view.grid.clamp([0, 1].map((k) => (best[1][k] + best[2][k]) / 2));
}

async function look(number) {
  state.view = await viewOf(number);
  Object.assign(state, { pointer: null, a: null, b: null, tree: null });
  get("error").textContent = `${shown(100 * state.view.error)} %`;
  example();
  refresh(true);
}

function listen() {
  const pointed = (event) => { state.pointer = pointAt(event); refresh(); };
  plane.addEventListener("pointermove", pointed);
  plane.addEventListener("pointerdown", pointed);
  plane.addEventListener("click", (event) => { state.pointer = pointAt(event); choose(state.pointer); });
  plane.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key], { size, left, bottom } = state.view.grid;
    if (way) {
      const by = size / (event.shiftKey ? 200 : 40), from = state.pointer ?? [left + size / 2, bottom + size / 2];
      state.pointer = state.view.grid.clamp([from[0] + by * way[0], from[1] + by * way[1]]);
      refresh();
    } else if (event.key === "Enter" || event.key === " ") {
      if (state.pointer) choose(state.pointer);
    } else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("controls").addEventListener("input", async (event) => {
    state.shade = new FormData(get("controls")).get("shade");
    if (event.target.id === "view") await look(Number(event.target.value));
    else refresh(true);
  });
}

function slide() {
  const time = get("time"), when = () => {
    const at = Math.min(Math.floor(state.frame), flow.times.length - 1), next = Math.min(at + 1, flow.times.length - 1);
    const t = flow.times[at] + (state.frame - at) * (flow.times[next] - flow.times[at]);
    get("when").textContent = `t = ${t.toFixed(2)}, step ${Math.round(t * flow.steps)} of ${flow.steps}`;
  };
  const go = (to, seen = true) => {
    state.frame = to;
    time.value = to;
    if (seen && !flow.inData) state.trails = get("trails").checked = true;
    when();
    drawStills();
    refresh(flow.inData);
  };
  let playing = null;
  const stop = () => { cancelAnimationFrame(playing); playing = null; get("play").textContent = "Play"; };
  time.addEventListener("input", () => { stop(); go(Number(time.value)); });
  get("trails").addEventListener("input", () => { state.trails = get("trails").checked; refresh(true); });
  get("play").addEventListener("click", () => {
    if (playing !== null) return stop();
    const last = flow.times.length - 1, start = state.frame >= last ? 0 : state.frame, begun = performance.now();
    get("play").textContent = "Stop";
    const tick = (now) => {
      const at = start + ((now - begun) / 3500) * last;
      go(Math.min(last, calm.matches ? Math.floor(at) : at));
      if (at < last) playing = requestAnimationFrame(tick);
      else stop();
    };
    playing = requestAnimationFrame(tick);
  });
  get("flow").hidden = false;
  state.trails = flow.inData;
  go(flow.times.length - 1, false);
}

function nameClasses() {
  if (!classes || classes > 60 || !held.views.some((view) => view.labels)) return;
  get("legend").append(...held.classes.map((name, label) => {
    const item = document.createElement("li"), button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: name });
    button.style.setProperty("--hue", colour(label));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!state.hidden.delete(label)) state.hidden.add(label);
      button.setAttribute("aria-pressed", String(!state.hidden.has(label)));
      refresh(true);
    });
    item.append(button);
    return item;
  }));
}

(async () => {
  if (atoms?.sheet) atoms.pictures = await new Sheet(atoms.sheet).load();
  if (flow?.stills) flow.pictures = await new Sheet(flow.stills).load();
  get("views").hidden = held.views.length < 2;
  get("stage").hidden = get("paths").hidden = false;
  await look(0);
  listen();
  nameClasses();
  if (flow) slide();
  new ResizeObserver(() => refresh(true)).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { inks.clear(); refresh(true); });
})();
