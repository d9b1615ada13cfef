// One person's timeline as a chart: stacked expressions, action units below where they are measured, gaps hatched.
import { EXPRESSIONS, inks, paint } from "./palette.js";
import { outline, runsOf } from "./series.js";
import { clock, decimalsFor, moment } from "./words.js";

export const MARGIN = { left: 46, right: 26 };
const HEIGHT = { expressions: 164, unit: 13, axis: 24 };
const TICKS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];

export const draw = (node, { reply, cells, session, view, open }) => {
  const ink = inks();
  const units = Object.keys(reply.action_units).filter((name) => reply.action_units[name].some((value) => value !== null));
  const height = HEIGHT.expressions + HEIGHT.axis + units.length * HEIGHT.unit + (units.length ? 10 : 0);
  const traces = [...areas(reply, cells, view), ...bands(session, view, node.clientWidth, ink)];
  if (units.length) traces.push(strip(reply, cells, units, ink));
  return window.Plotly.react(node, traces, { ...layout(session, view, ink, units, height, open), width: node.clientWidth }, {
    displayModeBar: false,
    responsive: false,
    doubleClick: false,
    showAxisDragHandles: false,
    showTips: false,
  });
};

const areas = (reply, cells, view) => {
  const { x, rows } = outline(runsOf(cells), (view.to - view.from) * 1e-7);
  return EXPRESSIONS.filter(([name]) => reply.expressions[name]).map(([name, colour]) => ({
    type: "scatter",
    mode: "lines",
    stackgroup: "expressions",
    name,
    x,
    y: rows.map((row) => (row < 0 ? 0 : (reply.expressions[name][row] ?? 0))),
    line: { width: 0 },
    fillcolor: paint(colour),
    hoverinfo: "skip",
  }));
};

// Stretches that nobody looked at; never narrower than two pixels.
const bands = (session, view, width, ink) => {
  const least = (2 * (view.to - view.from)) / Math.max(width, 100);
  const seen = session.gaps.filter((gap) => gap.to > view.from && gap.from < view.to);
  if (!seen.length) return [];
  return [
    {
      type: "bar",
      x: seen.map((gap) => (gap.from + gap.to) / 2),
      width: seen.map((gap) => Math.max(gap.to - gap.from, least)),
      y: seen.map(() => 1),
      zorder: 1, // a gap shorter than a bucket shows through the mean of what is around it
      marker: {
        color: ink.hatchGround,
        line: { width: 0 },
        pattern: { shape: "/", fgcolor: ink.hatch, bgcolor: ink.hatchGround, size: 7, solidity: 0.22 },
      },
      hoverinfo: "skip",
    },
  ];
};

const strip = (reply, cells, units, ink) => ({
  type: "heatmap",
  x: edgesOf(cells),
  y: units.toReversed(),
  z: units.toReversed().map((name) => withHoles(cells, reply.action_units[name])),
  yaxis: "y2",
  zmin: 0,
  zmax: 1,
  colorscale: [[0, ink.low], [1, ink.high]],
  showscale: false,
  hoverongaps: false,
  hoverinfo: "skip",
  ygap: 1,
});

// A heat map wants touching cells: holes between the points become cells of nothing.
const edgesOf = (cells) => {
  const edges = [];
  for (const cell of cells) {
    if (edges.length && cell.from - edges.at(-1) < 1e-6) edges.pop();
    edges.push(cell.from, cell.to);
  }
  return edges;
};

const withHoles = (cells, column) => {
  const row = [];
  let end = null;
  for (const cell of cells) {
    if (end !== null && cell.from - end >= 1e-6) row.push(null);
    row.push(column[cell.row]);
    end = cell.to;
  }
  return row;
};

const layout = (session, view, ink, units, height, open) => {
  const plot = height - HEIGHT.axis - 10;
  const floor = units.length ? 1 - HEIGHT.expressions / plot : 0;
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11, color: ink.text };
  return {
    height,
    margin: { l: MARGIN.left, r: MARGIN.right, t: 10, b: HEIGHT.axis },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font,
    showlegend: false,
    hovermode: false,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    barmode: "overlay",
    bargap: 0,
    xaxis: { ...axis(ink), range: [view.from, view.to], ...ticks(session, view), anchor: units.length ? "y2" : "y", showgrid: false },
    yaxis: { ...axis(ink), range: [0, 1], domain: [floor, 1], fixedrange: true, tickvals: [0, 0.5, 1], ticktext: ["0", "50", "100 %"] },
    ...(units.length && {
      yaxis2: { ...axis(ink), domain: [0, floor - 10 / plot], fixedrange: true, showgrid: false, tickfont: { ...font, size: 9 }, type: "category" },
    }),
    shapes: open && session.complete_until < view.to ? [pending(session, view, ink)] : [],
  };
};

const axis = (ink) => ({ zeroline: false, gridcolor: ink.grid, linecolor: ink.grid, ticks: "", automargin: false, ticklabeloverflow: "allow" });

const pending = (session, view, ink) => ({
  type: "rect",
  xref: "x",
  yref: "paper",
  x0: Math.max(session.complete_until ?? 0, view.from),
  x1: view.to,
  y0: 0,
  y1: 1,
  fillcolor: ink.pending,
  line: { width: 0 },
  layer: "below",
});

const ticks = (session, view) => {
  const span = view.to - view.from;
  const most = innerWidth < 600 ? 4 : 8;
  const step = TICKS.find((one) => span / one <= most) ?? 86400 * Math.ceil(span / 86400 / most);
  const shift = session.origin ? localSeconds(session) % step : 0; // round times of day, where there is one
  const tickvals = [];
  for (let place = Math.ceil((view.from + shift) / step); place * step - shift <= view.to; place++) {
    tickvals.push(place * step - shift);
  }
  const decimals = decimalsFor(step);
  return { tickvals, ticktext: tickvals.map((t) => (session.origin ? moment(session, t, decimals) : clock(t, decimals))) };
};

const localSeconds = (session) => {
  const at = new Date(session.origin);
  return at.getHours() * 3600 + at.getMinutes() * 60 + at.getSeconds() + at.getMilliseconds() / 1000;
};
