// Shortest paths: first on the graph of the grid's nodes, then relaxed between its nodes.

const NEIGHBOURS = [-2, -1, 0, 1, 2].flatMap((i) => [-2, -1, 0, 1, 2].map((j) => [i, j]))
  .filter(([i, j]) => (i || j) && Math.max(Math.abs(i), Math.abs(j)) <= 2 && !(i % 2 === 0 && j % 2 === 0));
const PIECES = 32; // of a path

// Dijkstra from a point: the length of the shortest path to each node, and the node before it; -1: from the point.
function distances(metric, [x, y]) {
  const { grid } = metric, { side, cell } = grid, total = side * side;
  const reached = new Float64Array(total).fill(Infinity), before = new Int32Array(total).fill(-1);
  const heap = [], place = (key, node) => {
    let i = heap.length;
    heap.push([key, node]);
    while (i && heap[(i - 1) >> 1][0] > key) { heap[i] = heap[(i - 1) >> 1]; i = (i - 1) >> 1; }
    heap[i] = [key, node];
  };
  const take = () => {
    const top = heap[0], last = heap.pop();
    if (heap.length) {
      let i = 0;
      for (let child = 1; child < heap.length; child = 2 * i + 1) {
        if (child + 1 < heap.length && heap[child + 1][0] < heap[child][0]) child++;
        if (heap[child][0] >= last[0]) break;
        heap[i] = heap[child];
        i = child;
      }
      heap[i] = last;
    }
    return top;
  };
  for (const [node, length] of around(metric, x, y)) { reached[node] = length; place(length, node); }
  const quad = (node, u, v) =>
    Math.sqrt(Math.max(0, metric.values[3 * node] * u * u + 2 * metric.values[3 * node + 1] * u * v + metric.values[3 * node + 2] * v * v));
  while (heap.length) {
    const [key, node] = take();
    if (key > reached[node]) continue;
    const column = node % side, row = (node - column) / side;
    for (const [i, j] of NEIGHBOURS) {
      if (column + i < 0 || column + i >= side || row + j < 0 || row + j >= side) continue;
      const next = node + j * side + i, u = i * cell, v = j * cell;
      const length = key + (quad(node, u, v) + quad(next, u, v)) / 2;
      if (length < reached[next]) { reached[next] = length; before[next] = node; place(length, next); }
    }
  }
  return { reached, before };
}

// The nodes about a point, with the lengths of the segments to them.
function around(metric, x, y) {
  const { grid } = metric, { side } = grid, near = grid.nearest(x, y), found = [];
  for (let j = -2; j <= 2; j++)
    for (let i = -2; i <= 2; i++) {
      const column = (near % side) + i, row = Math.floor(near / side) + j;
      if (column < 0 || column >= side || row < 0 || row >= side) continue;
      found.push([row * side + column, metric.length([[x, y], grid.point(row * side + column)])]);
    }
  return found;
}

function graphPath(metric, from, tree, to) {
  let best = Infinity, node = -1;
  for (const [candidate, length] of around(metric, ...to))
    if (tree.reached[candidate] + length < best) { best = tree.reached[candidate] + length; node = candidate; }
  const route = [to];
  for (; node !== -1; node = tree.before[node]) route.push(metric.grid.point(node));
  return [...route, from].reverse();
}

// A polyline through `pieces` + 1 points of another, at equal steps of its length.
function atConstantSpeed(metric, nodes, pieces) {
  const lengths = metric.pieces(nodes), total = lengths.reduce((a, b) => a + b, 0), made = [];
  let piece = 0, passed = 0;
  for (let n = 0; n <= pieces; n++) {
    const wanted = (total * n) / pieces;
    while (piece < lengths.length - 1 && passed + lengths[piece] < wanted) passed += lengths[piece++];
    const share = lengths[piece] > 0 ? Math.min(1, (wanted - passed) / lengths[piece]) : n / pieces;
    made.push([0, 1].map((k) => nodes[piece][k] + share * (nodes[piece + 1][k] - nodes[piece][k])));
  }
  made[pieces] = nodes[nodes.length - 1];
  return made;
}

const straight = (from, to, pieces) =>
  Array.from({ length: pieces + 1 }, (_, n) => [0, 1].map((k) => from[k] + (n / pieces) * (to[k] - from[k])));

// Sum of squared lengths of the pieces with M at their middles, its gradient, and the M themselves.
function energyOf(metric, nodes) {
  const gradient = nodes.map(() => [0, 0]), matrices = [];
  let energy = 0;
  for (let i = 0; i + 1 < nodes.length; i++) {
    const u = nodes[i + 1][0] - nodes[i][0], v = nodes[i + 1][1] - nodes[i][1];
    const [a, b, c] = metric.at((nodes[i][0] + nodes[i + 1][0]) / 2, (nodes[i][1] + nodes[i + 1][1]) / 2);
    const of = ([p, q, r]) => p * u * u + 2 * q * u * v + r * v * v;
    const pull = [2 * (a * u + b * v), 2 * (b * u + c * v)], slope = [of(metric.dx) / 2, of(metric.dy) / 2];
    energy += a * u * u + 2 * b * u * v + c * v * v;
    matrices.push([a, b, c]);
    for (const k of [0, 1]) {
      gradient[i][k] += slope[k] - pull[k];
      gradient[i + 1][k] += slope[k] + pull[k];
    }
  }
  return { energy, gradient, matrices };
}

// The Newton step with M held still: a block tridiagonal system, 2 (M₋ + M₊) on the diagonal and −2 M beside it.
function step({ gradient, matrices }) {
  const n = gradient.length - 2, inverse = [], right = [];
  const times = ([a, b, c, d], [x, y]) => [a * x + b * y, c * x + d * y];
  const full = ([a, b, c]) => [a, b, b, c];
  const small = 1e-9 * matrices.reduce((sum, [a, , c]) => sum + a + c, 0) / matrices.length + 1e-300;
  for (let i = 0; i < n; i++) {
    const m = full(matrices[i]), p = full(matrices[i + 1]);
    let block = m.map((value, k) => 2 * (value + p[k]) + (k === 0 || k === 3 ? small : 0));
    let load = [-gradient[i + 1][0], -gradient[i + 1][1]];
    if (i) {
      const back = full(matrices[i]).map((value) => -2 * value), last = inverse[i - 1];
      const product = [
        back[0] * last[0] + back[1] * last[2], back[0] * last[1] + back[1] * last[3],
        back[2] * last[0] + back[3] * last[2], back[2] * last[1] + back[3] * last[3],
      ];
      block = block.map((value, k) => {
        const row = k < 2 ? 0 : 2, column = k % 2;
        return value - (product[row] * back[column] + product[row + 1] * back[column + 2]);
      });
      const carried = times(product, right[i - 1]);
      load = [load[0] - carried[0], load[1] - carried[1]];
    }
    const determinant = block[0] * block[3] - block[1] * block[2];
    inverse.push([block[3] / determinant, -block[1] / determinant, -block[2] / determinant, block[0] / determinant]);
    right.push(load);
  }
  const moves = new Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let load = right[i];
    if (i + 1 < n) {
      const ahead = times(full(matrices[i + 1]).map((value) => -2 * value), moves[i + 1]);
      load = [load[0] - ahead[0], load[1] - ahead[1]];
    }
    moves[i] = times(inverse[i], load);
  }
  return moves;
}

// The curve near a given one that is shortest: its energy is lowered until less than a thousandth is left to gain.
function relaxed(metric, nodes) {
  let state = energyOf(metric, nodes);
  for (let round = 0; round < 60; round++) {
    const moves = step(state);
    let next = null;
    for (let size = 1; size > 1e-3 && !next; size /= 2) {
      const moved = nodes.map((point, i) =>
        i === 0 || i === nodes.length - 1 ? point : metric.grid.clamp([point[0] + size * moves[i - 1][0], point[1] + size * moves[i - 1][1]]));
      const tried = energyOf(metric, moved);
      if (tried.energy < state.energy) next = [moved, tried];
    }
    if (!next) break;
    const gain = 1 - next[1].energy / state.energy;
    [nodes, state] = next;
    if (gain < 1e-5) break;
  }
  return nodes;
}

// The straight line and the shortest path between two codes, at constant speed the second.
function connect(metric, from, to, tree) {
  const line = straight(from, to, PIECES);
  const starts = [line, atConstantSpeed(metric, graphPath(metric, from, tree, to), PIECES)];
  const candidates = [...starts, ...starts.map((start) => relaxed(metric, start))].map((nodes) => ({ nodes, length: metric.length(nodes) }));
  const best = candidates.reduce((one, other) => (other.length < one.length ? other : one));
  return { line: { nodes: line, length: candidates[0].length }, path: { nodes: atConstantSpeed(metric, best.nodes, PIECES), length: best.length } };
}
