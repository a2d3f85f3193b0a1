// The parts of the page: each has a heading, tables, and a chart if its figures move fast.

import {Chart} from "./charts.js";
import {bytes, clock, count, duration, microseconds, percent, rate} from "./format.js";
import {COMMANDS, commandTotal, hitRatio, hitRatioOf, mean, most, usedBytes} from "./samples.js";
import {Table, element} from "./tables.js";

const SHOWN_PREFIXES = 50;
const SHOWN_SLOW_REQUESTS = 30;

const text = (title) => ({title});
const key = (title) => ({title, key: true});

// A section with its heading; `wide` takes the whole width.
function section(title, {wide = false} = {}) {
  const id = `${title.toLowerCase().replaceAll(" ", "-")}-heading`;
  return element(
    "section",
    {class: wide ? "wide" : "", "aria-labelledby": id},
    element("h2", {id}, title),
  );
}

function withChart(made, lines, format, options = {}) {
  const place = element("div", {
    class: "chart",
    role: "img",
    "aria-label": "Chart; the table below has its figures",
  });
  const pointed = element("p", {class: "pointed", "aria-hidden": true});
  made.append(place, pointed);
  return new Chart(place, pointed, lines, format, options);
}

// now, mean and most of each line over the time that is shown
function nowMeanMost(lines, samples, format) {
  return lines.map(({label, of}) => [
    label,
    format(of(samples.at(-1))),
    format(mean(samples, of)),
    format(most(samples, of)),
  ]);
}

const OVER_TIME = [text("now"), text("mean"), text("most")];

function throughput() {
  const lines = COMMANDS.map((command) => ({
    label: command,
    of: (sample) => sample.commands[command],
  }));
  const node = section("Throughput by command");
  const chart = withChart(node, lines, rate);
  const table = new Table("Commands a second; cas counts as set, meta commands as what they do", [
    text("command"),
    ...OVER_TIME,
    text("since the start"),
  ]);
  node.append(table.node);
  const show = ({stats, samples}) =>
    table.show(
      nowMeanMost(lines, samples, rate).map((row, number) => [
        ...row,
        count(commandTotal(stats, COMMANDS[number])),
      ]),
      true,
    );
  return {node, chart, show};
}

function hits() {
  const lines = [{label: "hit ratio", of: hitRatio}];
  const node = section("Hit ratio");
  const chart = withChart(node, lines, percent, {valueRange: [0, 1.05]});
  const table = new Table("Gets", [
    text(""),
    text("now, a second"),
    text("shown time, a second"),
    text("since the start"),
  ]);
  node.append(table.node);
  const show = ({stats, samples}) => {
    const latest = samples.at(-1);
    const {get, get_expired: expired, get_flushed: flushed} = stats.commands;
    table.show([
      [
        "hit ratio",
        percent(hitRatio(latest)),
        percent(hitRatioOf(samples)),
        percent(hitRatio(get)),
      ],
      ["hits", rate(latest.hits), rate(mean(samples, (its) => its.hits)), count(get.hits)],
      ["misses", rate(latest.misses), rate(mean(samples, (its) => its.misses)), count(get.misses)],
      ["of them expired", "", "", count(expired)],
      ["of them flushed", "", "", count(flushed)],
    ]);
  };
  return {node, chart, show};
}

function latency() {
  const lines = [
    ["p50", "p50_us"],
    ["p99", "p99_us"],
    ["p99.9", "p999_us"],
  ].map(([label, member]) => ({label: `get ${label}`, of: (sample) => sample.latency?.[member]}));
  const node = section("Latency");
  const chart = withChart(node, lines, microseconds);
  const table = new Table("Percentiles of the last 10 to 20 seconds, in the server alone", [
    text("command"),
    text("p50"),
    text("p90"),
    text("p99"),
    text("p99.9"),
    text("p99 since the start"),
  ]);
  const legend = new Table("Get, over the shown time", [text("get"), ...OVER_TIME]);
  node.append(legend.node, table.node);
  const show = ({stats, samples}) => {
    legend.show(nowMeanMost(lines, samples, microseconds), true);
    table.show(
      Object.entries(stats.latency).map(([command, since]) => {
        const recent = stats.latency_recent[command] ?? {};
        return [
          command,
          ...["p50_us", "p90_us", "p99_us", "p999_us"].map((name) => microseconds(recent[name])),
          microseconds(since.p99_us),
        ];
      }),
    );
  };
  return {node, chart, show};
}

function evictions() {
  const reasons = [
    ["evicted", "evicted, all"],
    ["evicted_unfetched", "never read"],
    ["evicted_active", "read in the last minute"],
    ["expired_unfetched", "expired, never read"],
    ["reclaimed", "expired, all"],
  ];
  const lines = reasons.map(([name, label]) => ({label, of: (sample) => sample.removals[name]}));
  const node = section("Evictions");
  const chart = withChart(node, lines, rate);
  const table = new Table("Items that made room, a second", [
    text("reason"),
    ...OVER_TIME,
    text("since the start"),
  ]);
  const ages = element("p", {class: "ages"});
  node.append(table.node, ages);
  const show = ({stats, samples}) => {
    table.show(
      nowMeanMost(lines, samples, rate).map((row, number) => [
        ...row,
        count(stats.evictions[reasons[number][0]]),
      ]),
      true,
    );
    ages.textContent = agesOfEvictions(samples.at(-1).evictingClasses);
  };
  return {node, chart, show};
}

function agesOfEvictions(classes) {
  if (classes.length === 0) return "Nothing was evicted in the last second.";
  const ages = classes.map(({age}) => age);
  const [least, greatest] = [Math.min(...ages), Math.max(...ages)].map(duration);
  const span = least === greatest ? least : `${least} to ${greatest}`;
  return `What is evicted now was last used ${span} before.`;
}

function memory() {
  const lines = [
    {label: "given to classes", of: (sample) => sample.usedBytes},
    {label: "items", of: (sample) => sample.itemBytes},
  ];
  const node = section("Memory");
  const chart = withChart(node, lines, bytes, {labelsKMG2: true});
  const legend = new Table("Over the shown time", [text("memory"), ...OVER_TIME]);
  const table = new Table("What it holds now", [
    text("memory"),
    text("bytes"),
    text("of the limit"),
  ]);
  node.append(legend.node, table.node);
  const show = ({stats: {memory: its}, samples}) => {
    const row = (name, value) => [name, bytes(value), percent(value / its.limit_bytes)];
    legend.show(nowMeanMost(lines, samples, bytes), true);
    table.show([
      row("limit (-m)", its.limit_bytes),
      row("given to classes", usedBytes(its)),
      row(`items: ${count(its.items)}`, its.item_bytes),
      row("free pages", its.pages_free * its.page_bytes),
      row("hash table", its.table_bytes),
      row("values on their way in", its.draft_bytes),
    ]);
  };
  return {node, chart, show};
}

function connections() {
  const lines = [{label: "open", of: (sample) => sample.connections}];
  const node = section("Connections");
  const chart = withChart(node, lines, count);
  const table = new Table("Connections and their bytes", [
    text(""),
    text("now"),
    text("since the start"),
  ]);
  node.append(table.node);
  const show = ({stats: {connections: its}, samples}) => {
    const latest = samples.at(-1);
    table.show([
      ["open", count(its.open), ""],
      ["limit (-c)", count(its.limit), ""],
      ["accepted", `${rate(latest.accepted)}/s`, count(its.accepted)],
      ["refused", `${rate(latest.rejected)}/s`, count(its.rejected)],
      ["closed as idle", "", count(its.idle_closed)],
      ["read", `${bytes(latest.bytesRead)}/s`, bytes(its.bytes_read)],
      ["written", `${bytes(latest.bytesWritten)}/s`, bytes(its.bytes_written)],
      ["replies not taken yet", bytes(its.backlog_bytes), ""],
    ]);
  };
  return {node, chart, show};
}

function classes() {
  const node = section("Memory by class", {wide: true});
  const table = new Table("The largest first; ages are since the last use", [
    text("class"),
    text("chunk"),
    text("memory"),
    text("of the limit"),
    text("chunks used"),
    text("items"),
    text("bytes"),
    text("evicted/s"),
    text("evicted"),
    text("never read"),
    text("just read"),
    text("age evicted"),
    text("oldest"),
  ]);
  node.append(table.node);
  const show = ({stats: {memory: its}, samples}) => {
    const evicting = new Map(
      samples.at(-1).evictingClasses.map(({number, evicted}) => [number, evicted]),
    );
    const largest = [...its.classes].sort((one, other) => other.pages - one.pages);
    table.show(
      largest.map((one) => {
        const held = one.pages * its.page_bytes;
        return [
          String(one.class),
          bytes(one.chunk_bytes),
          bytes(held),
          percent(held / its.limit_bytes),
          percent(one.used_chunks / (one.used_chunks + one.free_chunks)),
          count(one.items),
          bytes(one.item_bytes),
          rate(evicting.get(one.class) ?? 0),
          count(one.evicted),
          count(one.evicted_unfetched),
          count(one.evicted_active),
          one.evicted > 0 ? duration(one.evicted_age_seconds) : duration(null),
          duration(one.oldest_age_seconds),
        ];
      }),
    );
  };
  return {node, show};
}

function hotKeys() {
  const node = section("Hot keys");
  const table = new Table("Their share of the requests of the last minutes", [
    key("key"),
    text("at least"),
    text("at most"),
  ]);
  node.append(table.node);
  const show = ({stats}) =>
    table.show(
      stats.hot_keys.map((its) => [its.key, percent(its.share_min), percent(its.share_max)]),
    );
  return {node, show};
}

function prefixes() {
  const node = section("Prefixes");
  const table = new Table(
    `The ${SHOWN_PREFIXES} that come most often, estimated since they were first seen`,
    [key("prefix"), text("hit ratio"), text("hits"), text("misses"), text("sets"), text("deletes")],
  );
  node.append(table.node);
  const show = ({stats}) =>
    table.show(
      stats.prefixes
        .slice(0, SHOWN_PREFIXES)
        .map((its) => [
          its.prefix,
          percent(hitRatio(its)),
          count(its.hits),
          count(its.misses),
          count(its.sets),
          count(its.deletes),
        ]),
    );
  return {node, show};
}

function slowRequests() {
  const node = section("Slow requests", {wide: true});
  const remark = element("p", {class: "remark"});
  const table = new Table("The latest first", [
    text("time"),
    text("took"),
    text("command"),
    text("run together"),
    key("key"),
  ]);
  node.append(remark, table.node);
  const show = ({stats: {slow_requests: its}}) => {
    remark.textContent =
      its.limit_us > 0
        ? `${count(its.total)} took longer than ${microseconds(its.limit_us)} since the start.`
        : "None are noted: -o slow_request_us=N would.";
    const latest = [...its.latest]
      .sort((one, other) => other.time - one.time)
      .slice(0, SHOWN_SLOW_REQUESTS);
    table.show(
      latest.map((one) => [
        clock(new Date(one.time * 1000)),
        microseconds(one.us),
        one.command,
        count(one.commands),
        one.key,
      ]),
    );
  };
  return {node, show};
}

// Each is {node, chart (if it has one), show({stats, samples})}.
export function makePanels() {
  return [
    throughput,
    hits,
    latency,
    evictions,
    memory,
    connections,
    classes,
    hotKeys,
    prefixes,
    slowRequests,
  ].map((make) => make());
}
