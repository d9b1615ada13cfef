// From an answer of the service to what a chart draws: runs of time with readings, holes between them left empty.
const NICE = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
const PIXELS_PER_VALUE = 2;

// What to ask for so that a chart of this width shows all that it can and no more. No `every`: the points themselves.
export const resolution = (span, width, step) => {
  const values = Math.max(50, width / PIXELS_PER_VALUE);
  if (step && span / step <= values * 2) return null;
  const least = Math.max(span / values, 2 * (step ?? 0));
  return NICE.find((every) => every >= least) ?? Math.ceil(least / 86400) * 86400;
};

export const niceFor = (span, values) => NICE.find((every) => every >= span / values) ?? span;

// The rows of an answer as cells [from, to), each with its place in the columns.
export const cellsOf = (reply, step) => {
  if (reply.every !== null) {
    return reply.t.map((t, row) => ({ from: t, to: Math.min(t + reply.every, reply.to), row, n: reply.n[row], why: reply.why[row] }));
  }
  const most = 1.75 * (step ?? 0.2); // one frame without the face is a hole; jitter of the clock is none
  return reply.t.map((t, row) => {
    const next = reply.t[row + 1];
    return { from: t, to: next !== undefined && next - t < most ? next : t + (step ?? 0.04), row, n: 1, why: null };
  });
};

// Runs of touching cells with readings.
export const runsOf = (cells) => {
  const runs = [];
  let last = null;
  for (const cell of cells) {
    if (!cell.n) {
      if (cell.why !== "unsampled") last = null;
      continue;
    }
    const run = runs.at(-1);
    if (last && cell.from - last.to < 1e-6) run.push(cell);
    else runs.push([cell]);
    last = cell;
  }
  return runs;
};

// x and rows of an outline: values stand in the middle of their cells; every run falls to nothing at both ends.
export const outline = (runs, hair) => {
  const x = [];
  const rows = []; // -1: nothing
  for (const run of runs) {
    const [first, last] = [run[0], run.at(-1)];
    x.push(first.from - hair, first.from);
    rows.push(-1, first.row);
    for (const cell of run) {
      x.push((cell.from + cell.to) / 2);
      rows.push(cell.row);
    }
    x.push(last.to, last.to + hair);
    rows.push(last.row, -1);
  }
  return { x, rows };
};

export const cellAt = (cells, t) => {
  let [low, high] = [0, cells.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cells[middle].to <= t) low = middle + 1;
    else high = middle;
  }
  const cell = cells[low];
  return cell && cell.from <= t ? cell : null;
};

// Means over all readings of an answer: each bucket weighs as much as it holds.
export const meansOf = (reply, cells, from, to) => {
  const sums = Object.fromEntries(Object.keys(reply.expressions).map((name) => [name, 0]));
  let n = 0;
  for (const cell of cells) {
    if (!cell.n || cell.to <= from || cell.from >= to) continue;
    n += cell.n;
    for (const name in sums) sums[name] += cell.n * (reply.expressions[name][cell.row] ?? 0);
  }
  return { n, shares: Object.entries(sums).map(([name, sum]) => [name, n ? sum / n : 0]) };
};
