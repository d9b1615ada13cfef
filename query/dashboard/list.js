// The list at the left: recordings, and the people of the one that is shown.
import { face } from "./card.js";
import { baseName, clock, count, day, moment } from "./words.js";

export const recordingsOf = (sources) =>
  sources.flatMap((source) => source.sessions.map((session) => ({ key: `${source.id}\n${session.id}`, source, session })));

const line = (className, text) => Object.assign(document.createElement("span"), { className, textContent: text });

const recordingButton = (recording, chosen, choose) => {
  const { source, session } = recording;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "recording";
  button.dataset.key = recording.key;
  if (chosen) button.setAttribute("aria-current", "true");
  const people = `${count(session.people)} ${session.people === 1 ? "person" : "people"}`;
  const when = session.origin ? `${day(session, "short")}, ${moment(session, 0).slice(0, 5)}` : clock(session.complete_until ?? 0);
  button.append(line("name", baseName(source)), line("sub", `${when} · ${people}`));
  if (!session.closed) {
    button.append(line("live", "live"));
    button.classList.add("is-live");
  }
  button.addEventListener("click", () => choose(recording.key));
  return button;
};

const personButton = (person, number, session, go) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "person";
  button.dataset.key = person.id;
  const picture = line("face", "");
  face(person, number, picture);
  const words = document.createElement("span");
  words.append(line("name", `Person ${number}`), line("sub", `${moment(session, person.first)} to ${moment(session, person.last)}`));
  button.append(picture, words);
  button.addEventListener("click", () => go(number));
  return button;
};

// Redraw the list; the focus stays where it was.
export const showList = (list, { recordings, chosen, people, choose, go }) => {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const rows = recordings.map((recording) => {
    const row = document.createElement("li");
    const isChosen = recording.key === chosen;
    row.append(recordingButton(recording, isChosen, choose));
    if (isChosen && people.length) {
      const inner = document.createElement("ul");
      inner.className = "people";
      inner.setAttribute("aria-label", "People");
      people.forEach((person, place) => {
        const item = document.createElement("li");
        item.append(personButton(person, place + 1, recording.session, go));
        inner.append(item);
      });
      row.append(inner);
    }
    return row;
  });
  list.replaceChildren(...rows);
  rove(list, focused);
};

// One stop for the tab key; the arrows move inside.
const rove = (list, focused) => {
  const buttons = [...list.querySelectorAll("button")];
  const held = buttons.find((button) => button.dataset.key === focused);
  const stop = held ?? buttons.find((button) => button.getAttribute("aria-current")) ?? buttons[0];
  for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
  held?.focus({ preventScroll: true });
};

export const walkWithArrows = (list) => {
  list.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")];
    const place = buttons.indexOf(document.activeElement);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: buttons.length - 1 }[event.key];
    const button = place < 0 || next === undefined ? null : buttons[next];
    if (!button) return;
    event.preventDefault();
    for (const one of buttons) one.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  });
};
