// Figures as people read them. What is not known (null, undefined) is a dash.

const NOTHING = "–";

function known(value) {
  return value !== null && value !== undefined && Number.isFinite(value);
}

// 1,234,567
export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en-US") : NOTHING;
}

// 0.25, 7.5, 1,234: what is small keeps its digits, so that one a minute is not none.
export function rate(value) {
  if (!known(value)) return NOTHING;
  if (value === 0 || value >= 10) return count(value);
  return value.toFixed(value >= 1 ? 1 : 2);
}

export function percent(share) {
  return known(share) ? `${(share * 100).toFixed(1)} %` : NOTHING;
}

export function bytes(value) {
  if (!known(value)) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

// A duration in microseconds.
export function microseconds(value) {
  if (!known(value)) return NOTHING;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} s`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} ms`;
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} µs`;
}

// 42 s, 3 min 20 s, 5 h 10 min, 3 d 4 h
export function duration(seconds) {
  if (!known(seconds)) return NOTHING;
  seconds = Math.round(seconds);
  const steps = [
    ["d", 86400, "h", 3600],
    ["h", 3600, "min", 60],
    ["min", 60, "s", 1],
  ];
  for (const [unit, length, below, part] of steps) {
    if (seconds < length) continue;
    const rest = Math.floor((seconds % length) / part);
    return `${Math.floor(seconds / length)} ${unit} ${rest} ${below}`;
  }
  return `${seconds} s`;
}

export function clock(date) {
  return date.toLocaleTimeString("en-GB");
}
