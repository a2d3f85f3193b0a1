// What an operator should look at, in words. A sign has an `id`, a `text` and a `level`: "bad"
// (clients get errors), "warning" (they soon may, or the cache does them little good) or "note".

import {bytes, count, duration, microseconds, percent, rate} from "./format.js";
import {hitRatioOf, mean, usedBytes} from "./samples.js";

const RECENT_SECONDS = 10;
const BEFORE_SECONDS = 300; // what a fall of the hit ratio is measured against
const FEWEST_GETS_A_SECOND = 10; // fewer say nothing of a ratio
const FEWEST_SECONDS_BEFORE = 20;
const HIT_RATIO_FALL = 0.05;
const YOUNG_SECONDS = 300; // what is evicted so soon after its last use was wanted
const CONNECTIONS_NEAR_LIMIT = 0.9;
const MEMORY_FULL = 0.98;
const BACKLOG_NEAR_LIMIT = 0.5;
const SLOW_P99_US = 10_000; // an in-memory lookup takes microseconds
const FEWEST_TIMED = 100; // fewer say nothing of a percentile
const FEW_EVICTIONS = 0.05; // a class with less of all evictions says nothing of their age
const HOT_SHARE = 0.2;
const LONG_START_SECONDS = 60;

function connections({stats}) {
  const {open, limit, accepting, rejected} = stats.connections;
  if (!accepting) {
    return [
      "bad",
      `No more connections are accepted: ${count(open)} of ${count(limit)} (-c) are open.`,
    ];
  }
  if (open < CONNECTIONS_NEAR_LIMIT * limit) return null;
  return [
    "warning",
    `Connections are near their limit: ${count(open)} of ${count(limit)} (-c); ` +
      `${count(rejected)} were refused so far.`,
  ];
}

function refusedConnections({recent}) {
  const refused = mean(recent, (sample) => sample.rejected);
  return refused > 0 ? ["bad", `Connections are refused: ${rate(refused)} a second.`] : null;
}

function noMemory({recent}) {
  const failed = mean(recent, (sample) => sample.noMemory);
  return failed > 0 ? ["bad", `Stores fail for want of memory: ${rate(failed)} a second.`] : null;
}

function hitRatioFell({recent, before}) {
  if (!(mean(recent, (sample) => sample.hits + sample.misses) >= FEWEST_GETS_A_SECOND)) return null;
  if (before.length < FEWEST_SECONDS_BEFORE) return null;
  const now = hitRatioOf(recent);
  const then = hitRatioOf(before);
  if (then === null || then - now < HIT_RATIO_FALL) return null;
  return [
    "warning",
    `The hit ratio fell to ${percent(now)}; it was ${percent(then)} in the minutes before.`,
  ];
}

// Of the classes that evict more than a few, the one whose evictions are of the youngest items.
function youngEvictions({recent}) {
  const evicting = recent.flatMap((sample) =>
    sample.evictingClasses.filter((its) => its.evicted >= FEW_EVICTIONS * sample.removals.evicted),
  );
  if (evicting.length === 0) return null;
  const youngest = evicting.reduce((one, other) => (other.age < one.age ? other : one));
  if (youngest.age >= YOUNG_SECONDS) return null;
  const evicted = mean(recent, (sample) => sample.removals.evicted);
  return [
    "warning",
    `Young items are evicted: some ${duration(youngest.age)} after their last use ` +
      `(class ${youngest.number}); ${rate(evicted)} evictions a second in all.`,
  ];
}

function memoryFull({stats, recent}) {
  const used = usedBytes(stats.memory);
  if (used < MEMORY_FULL * stats.memory.limit_bytes) return null;
  const evicted = mean(recent, (sample) => sample.removals.evicted);
  return [
    "note",
    `Memory is full: ${bytes(used)} of ${bytes(stats.memory.limit_bytes)} (-m) is in ` +
      `use; ${rate(evicted)} evictions a second.`,
  ];
}

function slowRequests({stats, recent}) {
  const slow = mean(recent, (sample) => sample.slow);
  if (slow > 0) {
    return [
      "warning",
      `Slow requests: ${rate(slow)} a second take longer than ` +
        `${microseconds(stats.slow_requests.limit_us)} (-o slow_request_us).`,
    ];
  }
  const slowest = Object.entries(stats.latency_recent).filter(
    ([, its]) => its.count >= FEWEST_TIMED && its.p99_us >= SLOW_P99_US,
  );
  if (slowest.length === 0) return null;
  const named = slowest.map(([command, its]) => `${command} ${microseconds(its.p99_us)}`);
  return ["warning", `One in a hundred requests is slow: ${named.join(", ")} and more.`];
}

function backlog({stats}) {
  const {
    backlog_bytes: waiting,
    buffer_limit_bytes: limit,
    backlog_closed: closed,
  } = stats.connections;
  if (!(limit > 0) || waiting < BACKLOG_NEAR_LIMIT * limit) return null;
  return [
    "warning",
    `Clients do not take their replies: ${bytes(waiting)} of ${bytes(limit)} wait for ` +
      `them; ${count(closed)} connections were closed for it so far.`,
  ];
}

function tooLarge({recent}) {
  const refused = mean(recent, (sample) => sample.tooLarge);
  return refused > 0
    ? ["warning", `Values above the limit (-I) are refused: ${rate(refused)} a second.`]
    : null;
}

function authErrors({recent}) {
  const refused = mean(recent, (sample) => sample.authErrors);
  return refused > 0
    ? ["warning", `Clients fail to authenticate: ${rate(refused)} a second.`]
    : null;
}

function hotKey({stats}) {
  const [hottest] = stats.hot_keys;
  if (hottest === undefined || hottest.share_min < HOT_SHARE) return null;
  return [
    "note",
    `One key has ${percent(hottest.share_min)} of the requests or more: ${hottest.key}`,
  ];
}

function busy({stats, recent}) {
  const cpu = mean(recent, (sample) => sample.cpu);
  if (!(cpu >= 0.9 * stats.threads)) return null;
  return [
    "warning",
    `The worker threads have no time left: ${cpu.toFixed(1)} CPUs are in use by ` +
      `${count(stats.threads)} of them (-t).`,
  ];
}

function justStarted({stats}) {
  if (stats.uptime_seconds >= LONG_START_SECONDS) return null;
  return [
    "note",
    `The server started ${duration(stats.uptime_seconds)} ago; a cold cache has few hits.`,
  ];
}

function notSampled({stats}) {
  if (stats.sampling) return null;
  return [
    "note",
    "Nothing is sampled (-o no_sampling): latencies, hot keys and prefixes are not known.",
  ];
}

const RULES = {
  connections,
  refusedConnections,
  noMemory,
  hitRatioFell,
  youngEvictions,
  slowRequests,
  busy,
  backlog,
  authErrors,
  tooLarge,
  memoryFull,
  hotKey,
  justStarted,
  notSampled,
};
const LEVELS = ["bad", "warning", "note"];

// The worst first.
export function signsOf(stats, history) {
  const recent = history.last(RECENT_SECONDS);
  const before = history.last(BEFORE_SECONDS + RECENT_SECONDS).slice(0, -recent.length);
  return Object.entries(RULES)
    .map(([id, rule]) => [id, rule({stats, recent, before})])
    .filter(([, found]) => found !== null)
    .map(([id, [level, text]]) => ({id, level, text}))
    .sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}
