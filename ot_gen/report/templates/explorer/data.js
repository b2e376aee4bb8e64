// The space of the data: for points the image of the plane, for images those that stand there.

const decoded = get("decoded");
let dataFrame, dataStill;

function dataBox() {
  const all = [dataPoints, ...(flow?.inData ? [flow.paths[0]] : [])], levels = [0.005, 0.995];
  const range = (k) => {
    const ends = all.flatMap((flat) => {
      const sorted = Float64Array.from({ length: flat.length / 2 }, (_, n) => flat[2 * n + k]).sort();
      return levels.map((level) => sorted[Math.round(level * (sorted.length - 1))]);
    });
    return [Math.min(...ends), Math.max(...ends)];
  };
  const [[left, right], [bottom, top]] = [range(0), range(1)], size = 1.16 * Math.max(right - left, top - bottom) || 1;
  return [(left + right - size) / 2, (bottom + top - size) / 2, size, size];
}

function meshPlace(view) {
  if (!view.mesh) return (x, y) => [0, 1].map((k) => view.grid.value(view.decoded, 2, k, x, y));
  const count = coarse * coarse, where = moving(view.mesh, count), now = new Float32Array(2 * count);
  for (let n = 0; n < count; n++) now.set(where(state.frame, n), 2 * n);
  return (x, y) => [0, 1].map((k) => view.images.value(now, 2, k, x, y));
}

function drawDataStill() {
  const { context, width, height } = fitted(decoded), view = state.view, box = dataBox(), { left, bottom, size } = view.grid;
  dataFrame = new Frame(width, height, box);
  clipped(context, dataFrame, () => {
    cloud(context, dataFrame, dataPoints, dataLabels, 1.9, 0.45);
    const place = meshPlace(view), lines = 25;
    Object.assign(context, { strokeStyle: ink("quiet"), lineWidth: 0.8, globalAlpha: 0.55 });
    for (let line = 0; line < lines; line++)
      for (const along of [0, 1]) {
        const fixed = line / (lines - 1);
        polyline(context, Array.from({ length: 61 }, (_, n) => {
          const [s, t] = along ? [n / 60, fixed] : [fixed, n / 60];
          return dataFrame.to(place(left + s * size, bottom + t * size));
        }));
      }
    context.globalAlpha = 1;
    if (flow?.inData && state.trails) trails(context, dataFrame, flow.paths[0]);
  });
  dataFrame.axes(context, held.data.axes);
  dataStill = canvasOf(decoded.width, decoded.height);
  dataStill.getContext("2d").drawImage(decoded, 0, 0);
}

function drawData(found) {
  const ratio = window.devicePixelRatio || 1, { context } = fitted(decoded), view = state.view, place = meshPlace(view);
  context.drawImage(dataStill, 0, 0, dataStill.width / ratio, dataStill.height / ratio);
  clipped(context, dataFrame, () => {
    const image = (nodes) => nodes.flatMap((point, i) => (i + 1 < nodes.length ? straight(point, nodes[i + 1], 4).slice(0, 4) : [point])).map(([x, y]) => dataFrame.to(place(x, y)));
    if (found) {
      curve(context, image(found.line.nodes), ink("ink"), { dash: [6, 6], width: 1.75 });
      curve(context, image(found.path.nodes), ink("path"));
    }
    ends(context, dataFrame, ([x, y]) => place(x, y));
    if (!state.pointer) return;
    const at = dataFrame.to(place(...state.pointer));
    if (view.cells) {
      const atom = view.cells[view.grid.nearest(...state.pointer)], to = dataFrame.to([atoms.points[2 * atom], atoms.points[2 * atom + 1]]);
      Object.assign(context, { strokeStyle: ink("ink"), lineWidth: 1 });
      polyline(context, [at, to]);
      dot(context, to, 4.5, ink("page"), ink("ink"), 2);
    }
    dot(context, at, 7, ink("path"), ink("page"), 2.5);
  });
}

function drawImages() {
  const view = state.view, [x, y] = state.pointer, picture = view.sheet.at(view.images, x, y);
  for (const [id, source] of [["decoded", picture], ["atom", atoms?.pictures?.mix([view.cells[view.grid.nearest(x, y)]], [1])]]) {
    const canvas = get(id);
    if (!canvas || !source) continue;
    Object.assign(canvas, { width: source.width, height: source.height });
    canvas.getContext("2d").drawImage(source, 0, 0);
  }
}

function drawStrip(id, nodes) {
  const canvas = get(id), { sheet, images } = state.view, count = canvas.getBoundingClientRect().width < 500 ? 9 : 15;
  Object.assign(canvas, { width: count * (sheet.width + 1) - 1, height: sheet.height });
  const context = canvas.getContext("2d");
  for (let n = 0; n < count; n++) {
    const at = (n / (count - 1)) * (nodes.length - 1), first = Math.min(Math.floor(at), nodes.length - 2), share = at - first;
    const [x, y] = [0, 1].map((k) => (1 - share) * nodes[first][k] + share * nodes[first + 1][k]);
    context.drawImage(sheet.at(images, x, y), n * (sheet.width + 1), 0);
  }
}

function drawStills() {
  if (!flow?.pictures) return;
  const canvas = get("stills"), { pictures } = flow, count = pictures.columns;
  const first = Math.min(Math.floor(state.frame), flow.times.length - 1), next = Math.min(first + 1, flow.times.length - 1), share = state.frame - first;
  Object.assign(canvas, { width: count * (pictures.width + 1) - 1, height: pictures.height });
  for (let n = 0; n < count; n++)
    canvas.getContext("2d").drawImage(pictures.mix([first * count + n, next * count + n], [1 - share, share]), n * (pictures.width + 1), 0);
}
