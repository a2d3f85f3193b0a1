// Asks the server once a second while the page is seen, and shows what came of it.

import {bytes, clock, count, duration, microseconds, percent, rate} from "./format.js";
import {makePanels} from "./panels.js";
import {History, hitRatio, sampleOf, usedBytes} from "./samples.js";
import {signsOf} from "./signs.js";
import {setText, showList, showTiles} from "./tables.js";

const POLL_MS = 1000;
const ANSWER_TIMEOUT_MS = 5000;

const REASONS = {
  TimeoutError: `nothing within ${ANSWER_TIMEOUT_MS / 1000} s`,
  TypeError: "no connection",
};
const WORDS = {bad: "Bad: ", warning: "Warning: ", note: "Note: "};

const part = (id) => document.getElementById(id);
const panels = makePanels();
const charts = panels.map(({chart}) => chart).filter((chart) => chart !== undefined);
const history = new History();

let latest = null; // {stats, at, ticks}: the last answer
let restartedAt = null; // when counters began anew
let announced = "";
let timer = null; // null while an answer is awaited, or the page is hidden
let asking = false;

function rememberAnswer(stats) {
  const answer = {stats, at: new Date(), ticks: performance.now()};
  if (latest !== null) {
    const seconds = (answer.ticks - latest.ticks) / 1000;
    const sample = sampleOf(latest.stats, stats, seconds, answer.at);
    if (sample === null) restartedAt = answer.at;
    else history.add(sample);
  }
  latest = answer;
}

function showServer({stats}) {
  part("server").textContent =
    `Version ${stats.larder_version}, pid ${stats.pid}, ` +
    `${count(stats.threads)} threads, up ${duration(stats.uptime_seconds)}`;
}

function allSigns() {
  const signs = signsOf(latest.stats, history);
  if (restartedAt !== null) {
    signs.push({
      id: "anew",
      level: "note",
      text: `Counters began anew at ${clock(restartedAt)}: a restart, or stats reset.`,
    });
  }
  return signs;
}

// Figures in the texts change each second; who listens is told when the kind of trouble changes.
function announce(signs) {
  const ids = signs.map(({id}) => id).join(" ");
  if (ids === announced) return;
  announced = ids;
  part("announcement").textContent =
    signs.length === 0 ? "Nothing is unusual now." : signs.map(({text}) => text).join(" ");
}

function showSigns(signs) {
  const shown = signs.length > 0 ? signs : [{level: "good", text: "Nothing."}];
  showList(
    part("signs"),
    shown.map(({level, text}) => ({level, text: (WORDS[level] ?? "") + text})),
  );
  const troubles = signs.filter(({level}) => level !== "note").length;
  document.title = `${troubles > 0 ? `(${troubles}) ` : ""}larderd ${location.host}`;
  announce(signs);
}

function showFigures({stats}, sample) {
  const {connections, memory} = stats;
  const gets = sample.latency;
  showTiles(part("tiles"), [
    ["Requests", `${rate(sample.requests)}/s`, `${sample.cpu.toFixed(2)} CPUs`],
    [
      "Hit ratio",
      percent(hitRatio(sample)),
      `${percent(hitRatio(stats.commands.get))} since the start`,
    ],
    [
      "Get, 99 of 100 within",
      microseconds(gets?.p99_us),
      `half within ${microseconds(gets?.p50_us)}`,
    ],
    [
      "Memory in use",
      percent(usedBytes(memory) / memory.limit_bytes),
      `of ${bytes(memory.limit_bytes)}`,
    ],
    [
      "Evictions",
      `${rate(sample.removals.evicted)}/s`,
      `${count(stats.evictions.evicted)} since the start`,
    ],
    ["Connections", count(connections.open), `of ${count(connections.limit)}`],
  ]);
}

function show() {
  showServer(latest);
  showSigns(allSigns());
  if (history.latest === null) return;
  showFigures(latest, history.latest);
  const seconds = Number(part("span").value);
  const samples = history.last(seconds);
  for (const {chart, show: showPanel} of panels) {
    showPanel({stats: latest.stats, samples});
    chart?.draw(samples, seconds);
  }
}

function showContact() {
  const contact = part("contact");
  contact.className = "";
  document.body.className = "";
  setText(contact, "The server answers.");
}

function showSilence(error) {
  const since = latest === null ? "" : ` What is shown is of ${clock(latest.at)}.`;
  const words = `The server does not answer (${REASONS[error.name] ?? error.message}).${since}`;
  const contact = part("contact");
  setText(contact, words);
  contact.className = "silent";
  document.body.className = "stale";
  document.title = `(no answer) larderd ${location.host}`;
}

async function ask() {
  const reply = await fetch("/stats.json", {signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS)});
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  return reply.json();
}

async function poll() {
  if (asking) return;
  asking = true;
  timer = null;
  const began = performance.now();
  const answer = await ask().catch((error) => error);
  asking = false;
  pollIn(Math.max(0, POLL_MS - (performance.now() - began)));
  if (answer instanceof Error || answer instanceof DOMException) return showSilence(answer);
  rememberAnswer(answer);
  showContact();
  show();
}

function pollIn(milliseconds) {
  clearTimeout(timer);
  timer = document.hidden ? null : setTimeout(poll, milliseconds);
}

part("address").textContent = location.host;
part("panels").append(...panels.map(({node}) => node));
part("span").addEventListener("change", () => latest !== null && show());
document.addEventListener("visibilitychange", () => pollIn(0));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  charts.forEach((chart) => chart.recolour()),
);
poll();
