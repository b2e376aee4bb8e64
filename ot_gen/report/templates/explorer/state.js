// What the page knows, and where its reader is.

const held = JSON.parse(document.getElementById("held").textContent);
const get = (id) => document.getElementById(id);
const { isImages, side, finer } = held, classes = held.classes.length, coarse = (side - 1) / finer + 1;
const state = { view: null, shade: "volume", pointer: null, a: null, b: null, tree: null, hidden: new Set(), frame: 0, trails: false };
const dataPoints = held.data && floatsOf(held.data.points), dataLabels = held.data?.labels && wordsOf(held.data.labels);
const atoms = held.atoms && { ...held.atoms, labels: held.atoms.labels && wordsOf(held.atoms.labels), points: held.atoms.points && floatsOf(held.atoms.points) };
const flow = held.flow && { ...held.flow, labels: held.flow.labels && wordsOf(held.flow.labels), paths: held.flow.paths.map(floatsOf) };
const views = new Map();

// A plane with its numbers, read when it is first looked at.
async function viewOf(number) {
  if (views.has(number)) return views.get(number);
  const told = held.views[number], grid = new Grid(side, told.square), images = new Grid(coarse, told.square);
  const view = { ...told, number, grid, images, metric: new Metric(grid, floatsOf(told.metric)), density: floatsOf(told.density), boards: {} };
  view.points = floatsOf(told.points);
  view.labels = told.labels && wordsOf(told.labels);
  view.cells = told.cells && wordsOf(told.cells);
  view.decoded = told.decoded && floatsOf(told.decoded);
  view.mesh = told.mesh && floatsOf(told.mesh);
  view.volume = Float64Array.from({ length: side * side }, (_, node) => view.metric.volume(node));
  if (told.sheet) view.sheet = await new Sheet(told.sheet).load();
  views.set(number, view);
  return view;
}

const places = (flat, from = 0, count = flat.length / 2) => Array.from({ length: count }, (_, n) => [flat[2 * (from + n)], flat[2 * (from + n) + 1]]);
const colour = (label) => (label === null || !classes ? ink("link") : hueOf(label, classes));
const isShown = (label) => label === null || !state.hidden.has(label);

// Positions of a flow's points between two frames: flat numbers (frames, n, 2) -> a function (frame, n) -> [x, y].
function moving(flat, count) {
  return (at, n) => {
    const first = Math.min(Math.floor(at), held.flow.times.length - 1), next = Math.min(first + 1, held.flow.times.length - 1), share = at - first;
    return [0, 1].map((k) => (1 - share) * flat[2 * (first * count + n) + k] + share * flat[2 * (next * count + n) + k]);
  };
}
