// A person's card: who, chart, shares, downloads, table.
import * as api from "./api.js";
import { MARGIN, draw } from "./chart.js";
import { EXPRESSIONS } from "./palette.js";
import { cellAt, cellsOf, meansOf, niceFor, resolution } from "./series.js";
import { clock, count, decimalsFor, moment, percent, reason } from "./words.js";

const COLOURS = Object.fromEntries(EXPRESSIONS);

export const face = (person, number, node) => {
  node.replaceChildren();
  if (person.picture) {
    const picture = new Image();
    picture.src = api.picturePath(person.id);
    picture.alt = "";
    picture.addEventListener("error", () => node.replaceChildren(String(number)));
    node.append(picture);
  } else {
    node.textContent = number;
  }
};

export class Card {
  // `page` gives session, view and open, and is told of zooms and of the place pointed at.
  constructor(person, number, page) {
    this.person = person;
    this.number = number;
    this.page = page;
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.node.id = `person-${number}`;
    this.part = (selector) => this.node.querySelector(selector);
    this.visible = false;
    this.stale = true;
    this.asked = null;
    this.name = `Person ${number}`;
    this.part("h2").textContent = this.name;
    face(person, number, this.part(".face"));
    this.part(".chart").setAttribute("aria-label", `${this.name}: expressions over time`);
    this.part(".table").setAttribute("aria-label", `${this.name}: readings as a table`);
    this.linkDownloads();
    this.listen();
    this.tell(person);
  }

  tell(person) {
    if (person.picture && !this.person.picture) face(person, this.number, this.part(".face"));
    this.person = person;
    const { session } = this.page;
    const span = `${moment(session, person.first)} to ${moment(session, person.last)}`;
    this.part(".who p").textContent = `seen ${span} · ${count(person.points)} readings`;
  }

  linkDownloads() {
    for (const [kind, format, fetchWhole] of [["csv", "csv", api.wholeCsv], ["json", "columnar", api.wholeJson]]) {
      const link = this.part(`.${kind}`);
      link.href = api.downloadPath(this.person.id, format);
      link.setAttribute("aria-label", `Download all readings of ${this.name} as ${kind.toUpperCase()}`);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.save(fetchWhole, `${this.person.id}.${kind}`);
      });
    }
  }

  async save(fetchWhole, name) {
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await fetchWhole(this.person.id));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) {
      this.say(`The download failed: ${error.message}`);
    }
  }

  listen() {
    const chart = this.part(".chart");
    chart.addEventListener("pointermove", (event) => this.page.point(this, this.timeAt(event), event));
    chart.addEventListener("pointerleave", () => this.page.point(null));
    this.part(".data").addEventListener("toggle", () => this.fillTable());
  }

  get width() {
    return Math.max(100, this.part(".plot").clientWidth - MARGIN.left - MARGIN.right);
  }

  timeAt(event) {
    const { from, to } = this.page.view;
    const share = (event.clientX - this.part(".plot").getBoundingClientRect().left - MARGIN.left) / this.width;
    return share < 0 || share > 1 ? null : from + share * (to - from);
  }

  // Ask for what the view shows, and draw it. Only the newest question counts.
  async refresh() {
    this.stale = true;
    if (!this.visible) return;
    this.stale = false;
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    const { view, session } = this.page;
    const every = resolution(view.to - view.from, this.width, session.step);
    const from = every ? Math.floor(view.from / every) * every : view.from - 2 * (session.step ?? 0);
    try {
      const query = { from: from.toFixed(6), to: view.to.toFixed(6), ...(every && { every }) };
      const reply = await api.timeline(this.person.id, query, asked.signal);
      if (asked.signal.aborted) return;
      this.reply = reply;
      this.cells = cellsOf(reply, session.step);
      this.say("");
      await this.paint();
      this.page.learned(reply);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.stale = true;
      this.say(error.status === 404 ? "This person was removed." : `No answer: ${error.message}`);
    }
  }

  async paint() {
    if (!this.reply || !this.visible) return;
    const { session, view, open } = this.page;
    const plot = this.part(".plot");
    await draw(plot, { reply: this.reply, cells: this.cells, session, view, open });
    if (!this.zooms) {
      this.zooms = true;
      plot.on("plotly_relayout", (change) => {
        const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
        if (from !== undefined && to !== undefined) this.page.show(from, to);
      });
      plot.on("plotly_doubleclick", () => this.page.fit());
    }
    this.showShares(meansOf(this.reply, this.cells, view.from, view.to));
    this.node.dataset.drawn = `${view.from.toFixed(3)}…${view.to.toFixed(3)}`;
    this.fillTable();
  }

  showShares({ n, shares }) {
    const ordered = EXPRESSIONS.map(([name]) => shares.find(([one]) => one === name)).filter(Boolean);
    const parts = ordered.map(([name, share]) => {
      const part = document.createElement("i");
      part.style.width = `${share * 100}%`;
      part.style.background = COLOURS[name];
      return part;
    });
    this.part(".bar").replaceChildren(...(n ? parts : []));
    this.part(".bar").classList.toggle("none", !n);
    const top = [...shares].sort((a, b) => b[1] - a[1]).filter(([, share]) => share >= 0.005).slice(0, 4);
    const words = this.part(".words");
    if (!n) return words.replaceChildren("This face is not seen in the time shown.");
    const said = top.map(([name, share]) => {
      const one = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = COLOURS[name];
      one.append(dot, `${name} `, Object.assign(document.createElement("b"), { textContent: percent(share) }));
      return one;
    });
    words.replaceChildren(...said, Object.assign(document.createElement("small"), { textContent: `mean share · ${count(n)} ${n === 1 ? "reading" : "readings"} shown` }));
  }

  // The line of the common pointer; null takes it away.
  cross(t) {
    const { from, to } = this.page.view;
    const line = this.part(".cross");
    line.hidden = t === null || t < from || t > to;
    if (!line.hidden) line.style.left = `${MARGIN.left + ((t - from) / (to - from)) * this.width}px`;
  }

  // What the chart shows at a time: [name, share] pairs, or why there is nothing.
  told(t) {
    const cell = this.cells ? cellAt(this.cells, t) : null;
    if (cell?.n) {
      const shares = EXPRESSIONS.map(([name]) => [name, this.reply.expressions[name]?.[cell.row]]);
      return { shares: shares.filter(([, share]) => share != null).sort((a, b) => b[1] - a[1]), n: cell.n };
    }
    const { session } = this.page;
    const gap = session.gaps.find((one) => one.from <= t && t < one.to);
    if (gap) return { why: reason(gap.reason) };
    if (cell?.why) return { why: reason(cell.why) };
    const until = session.complete_until ?? 0;
    return { why: reason(t < until ? "absent" : session.closed ? "outside" : "pending") };
  }

  async fillTable() {
    const details = this.part(".data");
    if (!details.open || !this.reply) return;
    const { view, session } = this.page;
    const key = `${view.from} ${view.to} ${session.complete_until}`;
    if (this.tabled === key) return;
    this.tabled = key;
    try {
      const every = niceFor(view.to - view.from, 40);
      const from = Math.floor(view.from / every) * every;
      const reply = await api.timeline(this.person.id, { from: from.toFixed(6), to: view.to.toFixed(6), every });
      this.part(".table").replaceChildren(tableOf(reply, session, this.name));
    } catch (error) {
      this.tabled = null;
      this.say(`No answer: ${error.message}`);
    }
  }

  say(text) {
    const line = this.part(".chart-state");
    line.textContent = text;
    line.hidden = !text;
  }

  remove() {
    this.asked?.abort();
    if (this.zooms) window.Plotly.purge(this.part(".plot"));
    this.node.remove();
  }
}

const cellOf = (tag, text, scope) => {
  const cell = document.createElement(tag);
  cell.textContent = text;
  if (scope) cell.scope = scope;
  return cell;
};

const tableOf = (reply, session, name) => {
  const table = document.createElement("table");
  const columns = [...EXPRESSIONS.map(([one]) => one).filter((one) => reply.expressions[one]), ...Object.keys(reply.action_units)];
  const value = (one, row) => (reply.expressions[one] ?? reply.action_units[one])[row];
  table.createCaption().textContent = `${name}: mean per ${reply.every} s, in percent`;
  const head = table.createTHead().insertRow();
  head.append(...["from", "readings", ...columns].map((text) => cellOf("th", text, "col")));
  const body = table.createTBody();
  reply.t.forEach((t, row) => {
    const line = body.insertRow();
    const decimals = decimalsFor(reply.every);
    line.append(cellOf("th", session.origin ? moment(session, t, decimals) : clock(t, decimals), "row"));
    line.append(cellOf("td", reply.n[row] ? count(reply.n[row]) : reason(reply.why[row])));
    for (const one of columns) {
      const share = value(one, row);
      line.append(cellOf("td", share == null ? "–" : Math.round(share * 100)));
    }
  });
  return table;
};
