// Questions to the service, at addresses relative to the page: it may lie under the prefix of a proxy. An error carries the `detail` of its problem document.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const ask = async (path, signal) => {
  const answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail ?? `the service answered ${answer.status}`);
  }
  return answer.json();
};

export const sources = async () => (await ask("v1/sources")).sources;

// Everybody in a session, page by page.
export const people = async (source, session) => {
  const found = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ source, limit: 1000, ...(cursor && { cursor }) });
    const page = await ask(`v1/people?${query}`);
    found.push(...page.people.filter((person) => person.session === session));
    cursor = page.next;
  } while (cursor);
  return found;
};

const timelinePath = (person, query) =>
  `v1/people/${encodeURIComponent(person)}/timeline?${new URLSearchParams(query)}`;

export const timeline = (person, query, signal) => ask(timelinePath(person, { limit: 100000, ...query }), signal);

export const downloadPath = (person, format) => timelinePath(person, format === "csv" ? { format } : { format, limit: 100000 });

export const picturePath = (person) => `v1/people/${encodeURIComponent(person)}/picture`;

// All points as one CSV file: the service streams it whole, or the download fails.
export const wholeCsv = async (person) => {
  const answer = await fetch(downloadPath(person, "csv"));
  if (!answer.ok) throw new Refused(answer.status, `the service answered ${answer.status}`);
  return answer.blob();
};

// All points as one JSON document: pages joined, column by column.
export const wholeJson = async (person) => {
  const whole = await timeline(person, {});
  let cursor = whole.next;
  while (cursor) {
    const page = await timeline(person, { cursor });
    for (const name of ["t", "frame", "box_xywh", "quality", "gaps"]) whole[name] = whole[name].concat(page[name]);
    for (const group of ["expressions", "action_units"]) joinColumns(whole, page, group);
    for (const model of page.models) joinModel(whole.models, model);
    cursor = page.next;
  }
  return new Blob([JSON.stringify({ ...whole, next: null })], { type: "application/json" });
};

const joinColumns = (whole, page, group) => {
  const rows = whole.t.length;
  const before = rows - page.t.length;
  for (const name of new Set([...Object.keys(whole[group]), ...Object.keys(page[group])])) {
    const head = whole[group][name] ?? new Array(before).fill(null);
    whole[group][name] = head.concat(page[group][name] ?? new Array(page.t.length).fill(null));
  }
};

const joinModel = (models, model) => {
  const known = models.find((one) => one.id === model.id);
  if (known) known.to = model.to;
  else models.push(model);
};
