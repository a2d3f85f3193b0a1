// What a second of the server's work was: the differences of two answers of /stats.json, and the
// history of them.

const HISTORY_SECONDS = 3600;

export const COMMANDS = ["get", "set", "delete", "touch", "incr", "decr"];
export const REMOVALS = [
  "evicted",
  "evicted_unfetched",
  "evicted_active",
  "expired_unfetched",
  "reclaimed",
];

// How many there were since the start; cas and meta commands are among them.
export function commandTotal(stats, command) {
  const counter = stats.commands[command];
  return typeof counter === "number" ? counter : counter.hits + counter.misses;
}

// A page of the limit that has a class.
export function usedBytes(memory) {
  return (memory.pages - memory.pages_free) * memory.page_bytes;
}

function ratio(part, whole) {
  return whole > 0 ? part / whole : null;
}

export function hitRatio({hits, misses}) {
  return ratio(hits, hits + misses);
}

// Counters that went down: another process, or `stats reset`.
function hasBegunAnew(before, now) {
  return (
    before.pid !== now.pid ||
    now.uptime_seconds < before.uptime_seconds ||
    now.commands.get.hits < before.commands.get.hits ||
    now.commands.set < before.commands.set ||
    now.connections.bytes_read < before.connections.bytes_read
  );
}

// The classes that have lost items to others meanwhile, with how many a second.
function evictingClasses(before, now, seconds) {
  const earlier = new Map(before.memory.classes.map((its) => [its.class, its.evicted]));
  return now.memory.classes
    .map((its) => ({
      number: its.class,
      evicted: Math.max(0, its.evicted - (earlier.get(its.class) ?? 0)) / seconds,
      age: its.evicted_age_seconds,
    }))
    .filter((its) => its.evicted > 0);
}

// before, now  answers of /stats.json
// seconds      between them
// at           Date of `now`
export function sampleOf(before, now, seconds, at) {
  if (hasBegunAnew(before, now)) return null;
  const each = (of) => Math.max(0, of(now) - of(before)) / seconds;
  const rates = (names, of) =>
    Object.fromEntries(names.map((name) => [name, each((stats) => of(stats, name))]));
  const commands = rates(COMMANDS, commandTotal);
  return {
    at,
    commands,
    requests: COMMANDS.reduce((sum, name) => sum + commands[name], 0),
    hits: each((stats) => stats.commands.get.hits),
    misses: each((stats) => stats.commands.get.misses),
    latency: now.latency_recent.get ?? null,
    usedBytes: usedBytes(now.memory),
    itemBytes: now.memory.item_bytes,
    removals: rates(REMOVALS, (stats, name) => stats.evictions[name]),
    evictingClasses: evictingClasses(before, now, seconds),
    noMemory: each((stats) => stats.commands.no_memory),
    tooLarge: each((stats) => stats.commands.too_large),
    authErrors: each((stats) => stats.commands.auth_errors),
    slow: each((stats) => stats.slow_requests.total),
    connections: now.connections.open,
    accepted: each((stats) => stats.connections.accepted),
    rejected: each((stats) => stats.connections.rejected),
    bytesRead: each((stats) => stats.connections.bytes_read),
    bytesWritten: each((stats) => stats.connections.bytes_written),
    cpu: each((stats) => stats.cpu.user_seconds + stats.cpu.system_seconds),
  };
}

// Samples, the oldest first.
export class History {
  samples = [];

  add(sample) {
    this.samples.push(sample);
    if (this.samples.length > HISTORY_SECONDS) this.samples.shift();
  }

  get latest() {
    return this.samples.at(-1) ?? null;
  }

  // Those that are at most so many seconds older than the latest.
  last(seconds) {
    if (this.latest === null) return [];
    const since = this.latest.at - seconds * 1000;
    return this.samples.filter((sample) => sample.at > since);
  }
}

export function mean(samples, of) {
  const values = samples.map(of).filter((value) => value !== null && value !== undefined);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function most(samples, of) {
  const values = samples.map(of).filter((value) => value !== null && value !== undefined);
  return values.length === 0 ? null : Math.max(...values);
}

// Of all their gets together.
export function hitRatioOf(samples) {
  return hitRatio({
    hits: samples.reduce((sum, sample) => sum + sample.hits, 0),
    misses: samples.reduce((sum, sample) => sum + sample.misses, 0),
  });
}
