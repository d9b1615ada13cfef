// Times, counts and reasons in words.
const REASONS = {
  absent: "this face is not seen",
  unsampled: "between two frames",
  pending: "not looked at yet",
  outside: "outside the recording",
  decode_error: "not looked at: damaged pictures",
  truncated: "not looked at: the file ends early",
  resolution_change: "not looked at: the picture size changed",
  interrupted: "not looked at: the run was stopped",
  source_down: "not looked at: the camera did not deliver",
  dropped: "not looked at: more arrived than could be looked at",
  no_frames: "not looked at: the source holds no frame here",
  low_quality: "looked at: faces of low quality were left out",
  not_asked: "not looked at: outside the part that was asked for",
  rejected: "not looked at: a face arrived damaged",
};

export const reason = (code) => REASONS[code] ?? `not looked at: ${code.replaceAll("_", " ")}`;

export const count = (number) => number.toLocaleString("en");

export const percent = (share) => `${Math.round(share * 100)} %`;

const two = (number) => String(number).padStart(2, "0");

// 75.25 → «1:15.25»; `decimals` of a second.
export const clock = (seconds, decimals = 0) => {
  const sign = seconds < 0 ? "−" : "";
  const scale = 10 ** decimals;
  const whole = Math.round(Math.abs(seconds) * scale);
  const s = Math.floor(whole / scale);
  const rest = decimals ? `.${String(whole % scale).padStart(decimals, "0")}` : "";
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return `${sign}${h ? `${h}:${two(m)}` : m}:${two(s % 60)}${rest}`;
};

// A moment of a recording: time of day where it is dated, else time since its first frame.
export const moment = (session, seconds, decimals = 0) => {
  if (!session.origin) return clock(seconds, decimals);
  const scale = 10 ** decimals;
  const at = new Date(Date.parse(session.origin) + Math.round(seconds * scale) * (1000 / scale));
  const rest = decimals ? `.${String(at.getMilliseconds()).padStart(3, "0").slice(0, decimals)}` : "";
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${rest}`;
};

export const day = (session, month = "long") =>
  session.origin
    ? new Date(session.origin).toLocaleDateString("en-GB", { day: "numeric", month, year: "numeric" })
    : "undated";

// A length in the unit one would say it in.
export const length = (seconds) => {
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  if (seconds < 3600) return `${Number((seconds / 60).toFixed(1))} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
};

export const decimalsFor = (step) => (step >= 1 ? 0 : step >= 0.1 ? 1 : 2);

export const baseName = (source) => (source.name ?? source.uri ?? source.id).split(/[\\/]/).filter(Boolean).pop() ?? source.id;
