// The page: which recording, which time, which cards; refreshed while a session is open.
import * as api from "./api.js";
import { Card } from "./card.js";
import { recordingsOf, showList, walkWithArrows } from "./list.js";
import { EXPRESSIONS, isDark } from "./palette.js";
import { resolution } from "./series.js";
import { baseName, clock, count, day, decimalsFor, length, moment, percent } from "./words.js";

const POLL_OPEN_MS = 1000;
const POLL_CLOSED_MS = 5000;
const $ = (id) => document.getElementById(id);

const page = {
  recordings: [],
  chosen: null, // key of a recording
  people: [],
  cards: [],
  view: { from: 0, to: 1 },
  whole: { from: 0, to: 1 },
  get recording() {
    return this.recordings.find((one) => one.key === this.chosen);
  },
  get session() {
    return this.recording.session;
  },
  get open() {
    return !this.session.closed;
  },
  get seesAll() {
    return this.view.from <= this.whole.from && this.view.to >= this.whole.to;
  },
  fit() {
    this.show(this.whole.from, this.whole.to);
  },
  show(from, to) {
    const least = Math.max(4 * (this.session.step ?? 0.04), 0.1);
    const span = Math.min(Math.max(to - from, least), this.whole.to - this.whole.from);
    const begin = Math.min(Math.max((from + to - span) / 2, this.whole.from), this.whole.to - span);
    this.view = { from: begin, to: begin + span };
    this.point(null);
    describeView();
    $("said").textContent = `Shown: ${$("shown").textContent}`;
    for (const card of this.cards) card.paint();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.cards.forEach((card) => card.refresh()), 60);
  },
  point(card, t = null, event = null) {
    for (const one of this.cards) one.cross(t);
    showTip(card, t, event);
  },
  learned(reply) {
    describeModels(reply);
  },
};

const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const card = page.cards.find((one) => one.node === target);
      if (!card) continue;
      card.visible = isIntersecting;
      if (isIntersecting && card.stale) card.refresh();
      else if (isIntersecting) card.paint();
    }
  },
  { rootMargin: "400px" },
);

// What the store says now.
const poll = async () => {
  try {
    const before = page.recording && page.session;
    page.recordings = recordingsOf(await api.sources());
    complain("");
    await settle(before);
  } catch (error) {
    complain(error instanceof api.Refused ? `The store cannot be read: ${error.message}` : "The service does not answer. Trying again…");
    if (!page.recordings.length) showState("Nothing to show yet.", "");
  }
  const anyOpen = page.recordings.some(({ session }) => !session.closed);
  setTimeout(poll, anyOpen || !page.recordings.length ? POLL_OPEN_MS : POLL_CLOSED_MS);
};

const settle = async (before) => {
  if (!page.recordings.length) return showState("No recordings yet", "Analyse a video with “mien run video.mp4”; its people appear here by themselves.");
  if (!page.recording) return choose(wanted() ?? page.recordings.at(-1).key);
  const { session } = page;
  const news = !before || ["complete_until", "people", "closed", "looked_at"].some((name) => before[name] !== session[name]);
  if (news) await renew(false);
  else list();
};

const wanted = () => {
  const [source, session] = location.hash.slice(1).split("/").map(decodeURIComponent);
  return page.recordings.find((one) => one.source.id === source && (!session || one.session.id === session))?.key;
};

const choose = async (key) => {
  page.chosen = key;
  for (const card of page.cards) card.remove();
  page.cards = [];
  page.people = [];
  $("models").textContent = "";
  const { source, session } = page.recording;
  history.replaceState(null, "", `#${encodeURIComponent(source.id)}/${encodeURIComponent(session.id)}`);
  try {
    await renew(true);
  } catch (error) {
    complain(`No answer: ${error.message}`);
  }
};

// Take over what is new in the chosen recording.
const renew = async (fresh) => {
  const { recording, session } = page;
  const followed = fresh || page.seesAll;
  const people = await api.people(recording.source.id, session.id);
  if (page.chosen !== recording.key) return;
  page.people = people.toSorted((a, b) => a.first - b.first);
  const last = Math.max(session.complete_until ?? 0, ...page.people.map((person) => person.last + (session.step ?? 0)), 0.1);
  page.whole = { from: 0, to: last };
  if (followed) page.view = { ...page.whole };
  describe();
  deal();
  list();
  describeView();
  for (const card of page.cards) card.refresh();
};

const list = () =>
  showList($("recordings"), {
    recordings: page.recordings,
    chosen: page.chosen,
    people: page.people,
    choose,
    go: (number) => {
      const card = $(`person-${number}`);
      card.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      card.querySelector(".chart").focus({ preventScroll: true });
    },
  });

// A card for everybody; those that are there stay.
const deal = () => {
  const gone = new Map(page.cards.map((card) => [card.person.id, card]));
  page.cards = page.people.map((person, place) => {
    const known = gone.get(person.id);
    if (known && known.number === place + 1) {
      gone.delete(person.id);
      known.tell(person);
      return known;
    }
    return new Card(person, place + 1, page);
  });
  for (const card of gone.values()) card.remove();
  page.cards.forEach((card, place) => {
    if ($("cards").children[place] !== card.node) $("cards").insertBefore(card.node, $("cards").children[place] ?? null);
    nearby.observe(card.node);
  });
};

const describe = () => {
  const { source, session } = page.recording;
  $("state").hidden = true;
  $("recording").hidden = false;
  $("title").textContent = baseName(source);
  document.title = `${baseName(source)} · Mien`;
  const facts = [
    day(session),
    length(session.complete_until ?? 0),
    session.size_wh && `${session.size_wh[0]} × ${session.size_wh[1]} px`,
    session.fps && `${Number(session.fps.toFixed(2))} frames/s`,
    `${count(session.looked_at)} of ${count(session.frames)} frames looked at`,
    `${count(page.people.length)} ${page.people.length === 1 ? "person" : "people"}`,
    session.gaps.length && `${session.gaps.length} ${session.gaps.length === 1 ? "gap" : "gaps"}`,
  ];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  $("completeness").classList.toggle("open", page.open);
  const until = session.complete_until == null ? "nothing yet" : moment(session, session.complete_until, 1);
  $("completeness").textContent = page.open ? `Live · complete until ${until}` : `Complete until ${until}`;
  if (!page.people.length) {
    const looked = `${count(session.looked_at)} frames were looked at`;
    showState(page.open ? "No face yet" : "No face in this recording", `${looked}${page.open ? " so far" : ""}.`, true);
  }
};

const describeView = () => {
  const { view, whole, session } = page;
  const span = view.to - view.from;
  const all = whole.to - whole.from;
  $("window").style.left = `${(100 * (view.from - whole.from)) / all}%`;
  $("window").style.width = `${Math.max(1, (100 * span) / all)}%`;
  const every = resolution(span, page.cards[0]?.width ?? 800, session.step);
  const decimals = decimalsFor(span / 10);
  const each = every ? `one value per ${length(every)}` : "every reading";
  $("shown").textContent = `${moment(session, view.from, decimals)} – ${moment(session, view.to, decimals)} · ${each}`;
  document.querySelector(".tools").hidden = document.querySelector(".foot").hidden = $("legend").hidden = !page.cards.length;
};

const describeModels = (reply) => {
  const nets = new Map(reply.models.flatMap((model) => model.nets).map((net) => [net.sha256, net]));
  if (!nets.size) return;
  const named = [...nets.values()].map((net) => `${net.name} ${net.version} (sha256 ${net.sha256.slice(0, 12)}…)`);
  $("models").textContent = `Read by ${named.join(" and ")}.`;
};

const showState = (title, text, beside = false) => {
  const words = [Object.assign(document.createElement("h1"), { textContent: title }), Object.assign(document.createElement("p"), { textContent: text })];
  $("state").replaceChildren(...words);
  $("state").hidden = false;
  $("recording").hidden = !beside;
  if (!beside) $("recordings").replaceChildren();
};

const complain = (text) => {
  if ($("banner").textContent !== text) $("banner").textContent = text;
  $("banner").hidden = !text;
};

const showTip = (card, t, event) => {
  const tip = $("tip");
  tip.hidden = !card || t === null || !card.reply;
  if (tip.hidden) return;
  const told = card.told(t);
  const head = Object.assign(document.createElement("strong"), { textContent: moment(page.session, t, decimalsFor((page.view.to - page.view.from) / 20)) });
  const rows = (told.shares ?? []).slice(0, 5).map(([name, share]) => {
    const row = document.createElement("span");
    const dot = document.createElement("i");
    dot.style.background = Object.fromEntries(EXPRESSIONS)[name];
    row.append(dot, name, Object.assign(document.createElement("b"), { textContent: percent(share) }));
    return row;
  });
  const foot = document.createElement("em");
  foot.textContent = told.why ?? (told.n > 1 ? `mean of ${count(told.n)} readings` : "one reading");
  tip.replaceChildren(head, ...rows, foot);
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 16 + width > innerWidth ? event.clientX - width - 16 : event.clientX + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.min(Math.max(4, event.clientY - height / 2), innerHeight - height - 4)}px`;
};

const showLegend = () => {
  const item = (name, colour, className = "") => {
    const row = document.createElement("li");
    const dot = document.createElement("i");
    if (colour) dot.style.background = colour;
    if (className) dot.className = className;
    row.append(dot, name);
    return row;
  };
  $("legend").replaceChildren(
    ...EXPRESSIONS.map(([name, colour]) => item(name, colour)),
    item("not looked at", null, "hatched"),
    item("face not seen", null, "blank"),
  );
};

const MOVES = {
  left: ({ from, to }) => [from - (to - from) / 4, to - (to - from) / 4],
  right: ({ from, to }) => [from + (to - from) / 4, to + (to - from) / 4],
  in: ({ from, to }) => [from + (to - from) / 4, to - (to - from) / 4],
  out: ({ from, to }) => [from - (to - from) / 2, to + (to - from) / 2],
  fit: () => [page.whole.from, page.whole.to],
};
const KEYS = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "fit" };

const move = (name) => {
  if (page.recording && page.cards.length) page.show(...MOVES[name](page.view));
};

const listen = () => {
  document.querySelector(".tools").addEventListener("click", (event) => {
    const name = event.target.closest("button")?.dataset.do;
    if (name) move(name);
  });
  document.addEventListener("keydown", (event) => {
    const name = KEYS[event.key];
    const inTable = event.target.closest?.(".table, .side");
    if (!name || inTable || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(name);
  });
  $("theme").addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("mien.theme", next);
    } catch {
      // Storage is refused: the choice lasts as long as the page.
    }
    for (const card of page.cards) card.paint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.cards.forEach((card) => card.paint()));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width || !page.recording) return;
    width = innerWidth;
    clearTimeout(page.sized);
    page.sized = setTimeout(() => page.show(page.view.from, page.view.to), 120);
  });
  walkWithArrows($("recordings"));
};

showLegend();
listen();
poll();
