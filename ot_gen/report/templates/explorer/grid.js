"use strict";
// Numbers of the page, and values between the nodes of a grid over a square of the plane of codes.

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const floatsOf = (text) => new Float32Array(bytesOf(text).buffer);
const wordsOf = (text) => new Uint16Array(bytesOf(text).buffer);

class Grid {
  constructor(side, [left, bottom, size]) {
    Object.assign(this, { side, left, bottom, size, cell: size / (side - 1) });
  }
  // The node at the lower left of (x, y), and the place in its cell; points beyond the square count as on its edge.
  locate(x, y) {
    const u = Math.min(Math.max((x - this.left) / this.cell, 0), this.side - 1);
    const v = Math.min(Math.max((y - this.bottom) / this.cell, 0), this.side - 1);
    const i = Math.min(Math.floor(u), this.side - 2), j = Math.min(Math.floor(v), this.side - 2);
    this.first = j * this.side + i;
    this.s = u - i;
    this.t = v - j;
  }
  nearest(x, y) {
    this.locate(x, y);
    return this.first + (this.s > 0.5 ? 1 : 0) + (this.t > 0.5 ? this.side : 0);
  }
  // Bilinear: the value number `part` of `width` at each node.
  value(values, width, part, x, y) {
    this.locate(x, y);
    const { first, s, t, side } = this, at = (node) => values[node * width + part];
    return (1 - t) * ((1 - s) * at(first) + s * at(first + 1)) + t * ((1 - s) * at(first + side) + s * at(first + side + 1));
  }
  point(node) {
    return [this.left + (node % this.side) * this.cell, this.bottom + Math.floor(node / this.side) * this.cell];
  }
  clamp([x, y]) {
    return [Math.min(Math.max(x, this.left), this.left + this.size), Math.min(Math.max(y, this.bottom), this.bottom + this.size)];
  }
}

// The decoder's metric M on the plane, bilinear between its nodes: a mean of matrices, hence never indefinite.
class Metric {
  constructor(grid, values) {
    this.grid = grid;
    this.values = values;
    this.m = [0, 0, 0];
    this.dx = [0, 0, 0];
    this.dy = [0, 0, 0];
  }
  // M and its derivatives at (x, y), as (M11, M12, M22).
  at(x, y) {
    const { grid, values, m, dx, dy } = this;
    grid.locate(x, y);
    const { first, s, t, side, cell } = grid;
    for (let part = 0; part < 3; part++) {
      const a = values[3 * first + part], b = values[3 * (first + 1) + part];
      const c = values[3 * (first + side) + part], d = values[3 * (first + side + 1) + part];
      const low = a + s * (b - a), high = c + s * (d - c);
      m[part] = low + t * (high - low);
      dx[part] = ((b - a) + t * (d - c - b + a)) / cell;
      dy[part] = (high - low) / cell;
    }
    return m;
  }
  speed(x, y, u, v) {
    const [a, b, c] = this.at(x, y);
    return Math.sqrt(Math.max(0, a * u * u + 2 * b * u * v + c * v * v));
  }
  volume(node) {
    const [a, b, c] = this.values.subarray(3 * node, 3 * node + 3);
    return Math.sqrt(Math.max(0, a * c - b * b));
  }
  // The lengths of the pieces of a polyline, by Simpson's rule on parts that are no longer than a cell.
  pieces(nodes) {
    const lengths = [];
    for (let i = 0; i + 1 < nodes.length; i++) {
      const [x, y] = nodes[i], u = nodes[i + 1][0] - x, v = nodes[i + 1][1] - y;
      const parts = Math.max(1, Math.ceil(Math.hypot(u, v) / this.grid.cell));
      let sum = 0;
      for (let p = 0; p < parts; p++)
        for (const [share, weight] of [[0, 1], [0.5, 4], [1, 1]]) {
          const at = (p + share) / parts;
          sum += weight * this.speed(x + at * u, y + at * v, u, v);
        }
      lengths.push(sum / (6 * parts));
    }
    return lengths;
  }
  length(nodes) {
    return this.pieces(nodes).reduce((total, piece) => total + piece, 0);
  }
}
