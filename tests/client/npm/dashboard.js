// The dashboard in Chromium. Argument: a JSON object with `part` (the checks to make), `url`, `port`
// and `pid` of the server, `folder` that holds node_modules, `chromium`, and `pictures`, where
// screenshots go. Reports TAP.
"use strict";

const net = require("net");
const path = require("path");

const {eventually, ok, run, wait} = require("./checks.js");

const given = JSON.parse(process.argv[2]);
const {chromium} = require(path.join(given.folder, "node_modules", "playwright-core"));

const STRANGE_KEY = `<img/src=x/onerror=document.title='run'>:"&amp;`;
const SECONDS = 1000;

// What the server answers to a request that ends in END.
function exchange(request) {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = net.connect(given.port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("latin1");
    socket.on("error", reject);
    socket.on("data", (more) => {
      answer += more;
      if (answer.endsWith("END\r\n")) {
        socket.destroy();
        resolve(answer);
      }
    });
  });
}

async function stats() {
  const rows = [...(await exchange("stats\r\n")).matchAll(/STAT (\S+) (\S+)/g)];
  return Object.fromEntries(rows.map(([, name, value]) => [name, Number(value)]));
}

// The texts of a row, by the heading of its section and the start of its first cell.
async function row(page, heading, first) {
  const rows = page
    .locator("section", {has: page.getByRole("heading", {name: heading, exact: true})})
    .locator("tbody tr");
  for (const one of await rows.all()) {
    const cells = await one.locator("th, td").allTextContents();
    if (cells[0].startsWith(first)) return cells;
  }
  return null;
}

const number = (shown) => Number(shown.replaceAll(",", ""));
const signs = async (page) => (await page.locator("#signs li").allTextContents()).join("\n");

async function picture(page, name) {
  await page.screenshot({path: path.join(given.pictures, `${name}.png`), fullPage: true});
}

// A page whose troubles are noted: what it logs, what fails, and what it asks of others.
async function open(browser) {
  const page = await browser.newPage({viewport: {width: 1400, height: 900}});
  const troubles = new Set();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.add(message.text());
  });
  page.on("pageerror", (error) => troubles.add(String(error)));
  page.on("request", (request) => {
    const from = request.url();
    if (!from.startsWith(given.url) && !from.startsWith("data:")) troubles.add(`asked for ${from}`);
  });
  const reply = await page.goto(given.url);
  return {page, troubles, reply};
}

// 10,000 gets of a key that would be markup: some 40 of them are sampled.
async function askForStrangeKey() {
  for (let round = 0; round < 20; round += 1) {
    await exchange(`get ${Array(500).fill(STRANGE_KEY).join(" ")}\r\n`);
  }
}

async function compareWithStats(page) {
  const commands = {get: "cmd_get", set: "cmd_set"};
  const start = await stats();
  const begun = Date.now();
  for (const [command, name] of Object.entries(commands)) {
    const before = (await stats())[name];
    let shown = 0;
    await eventually(async () => {
      shown = number((await row(page, "Throughput by command", command))[4]);
      return shown >= before;
    }, `${command}: what is shown catches up with stats`);
    ok(shown <= (await stats())[name], "and is never ahead of it");
  }
  await wait(8 * SECONDS);
  const seconds = (Date.now() - begun) / SECONDS;
  const end = await stats();
  await page.selectOption("#span", "60");
  for (const [command, name] of Object.entries(commands)) {
    const real = (end[name] - start[name]) / seconds;
    const shown = number((await row(page, "Throughput by command", command))[2]);
    ok(
      shown > real / 2 && shown < real * 2,
      `${command}: ${shown} a second are shown, ${real} were counted`,
    );
  }
  const [, , , since] = await row(page, "Hit ratio", "hit ratio");
  const ratio = (100 * end.get_hits) / (end.get_hits + end.get_misses);
  ok(Math.abs(parseFloat(since) - ratio) < 5, `hit ratio ${since}, counted ${ratio} %`);
}

async function showsWhatIsWrong(page) {
  await eventually(
    async () =>
      /Warning: Young items are evicted: some .* after their last use \(class \d+\)/.test(
        await signs(page),
      ),
    "that young items are evicted is said",
  );
  await eventually(
    async () => /Memory is full/.test(await signs(page)),
    "that memory is full, too",
  );
  await eventually(
    async () => /Warning: Connections are near their limit: \d+ of 40/.test(await signs(page)),
    "and that connections are near their limit",
  );
  ok(/^\(\d+\) larderd /.test(await page.title()), "the title counts them");
  ok(/Young items/.test(await page.textContent("#announcement")), "who listens is told");
  await eventually(
    async () => /was last used .* before/.test(await page.textContent(".ages")),
    "the age of what is evicted is told",
  );
  const shown = (await row(page, "Latency", "get p99"))[1];
  ok(/^[\d.]+ (µs|ms|s)$/.test(shown), `p99 of get is ${shown}`);
}

async function keysAreText(page) {
  await askForStrangeKey();
  const [prefix] = STRANGE_KEY.split(":");
  await eventually(
    async () => (await row(page, "Hot keys", STRANGE_KEY)) !== null,
    "a strange key is shown as it is",
  );
  await eventually(
    async () => (await row(page, "Prefixes", prefix)) !== null,
    "a strange prefix, too",
  );
  ok((await page.locator("main img").count()) === 0, "and is no markup");
  ok(/larderd/.test(await page.title()), "nothing of it has run");
}

async function canBeRead(page) {
  const unnamed = await page
    .locator("section")
    .evaluateAll(
      (sections) =>
        sections.filter((one) => !document.getElementById(one.getAttribute("aria-labelledby")))
          .length,
    );
  ok(unnamed === 0, "every section is named by its heading");
  const charts = await page.locator(".chart").count();
  const beside = await page.locator("section:has(.chart) table").count();
  ok(charts === 6 && beside >= charts, "each chart has a table beside it");
  ok(
    (await page.locator("table:not(:has(caption))").count()) === 0,
    "every table says what it shows",
  );
  ok((await page.locator(".chart canvas").count()) >= charts, "the charts are drawn");
  const blank = await page.locator(".chart canvas:first-child").evaluateAll(
    (canvases) =>
      canvases.filter(
        (one) =>
          !one
            .getContext("2d")
            .getImageData(0, 0, one.width, one.height)
            .data.some((byte) => byte !== 0),
      ).length,
  );
  ok(blank === 0, "none of them blank");
}

async function looks(page) {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await picture(page, "light");
  const light = await background();
  await page.emulateMedia({colorScheme: "dark"});
  await wait(1500);
  await picture(page, "dark");
  ok((await background()) !== light, "there is a dark page");
  await page.setViewportSize({width: 400, height: 800});
  await wait(1500);
  await picture(page, "narrow-dark");
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  ok(over <= 0, `at 400 pixels nothing is beside the page (${over})`);
  await page.emulateMedia({colorScheme: "light"});
  await wait(1500);
  await picture(page, "narrow");
}

async function restsWhileHidden(page) {
  let asked = 0;
  page.on("request", () => {
    asked += 1;
  });
  const hide = (yes) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
      document.dispatchEvent(new Event("visibilitychange"));
    }, yes);
  await wait(3 * SECONDS);
  ok(asked >= 2 && asked <= 5, `${asked} requests in three seconds`);
  await hide(true);
  await wait(500); // one may be under way
  asked = 0;
  await wait(3 * SECONDS);
  ok(asked === 0, "none while it is hidden");
  await hide(false);
  await eventually(async () => asked > 0, "and again when it is seen");
}

// What signs.js says of figures that are made up, each as it should be but for one thing.
// Runs in the page. Returns [name, what is said, what should be if it is not the name].
async function saysWhatIsWrong() {
  const {signsOf} = await import("/dashboard/signs.js");
  const {History, sampleOf} = await import("/dashboard/samples.js");
  const served = await (await fetch("/stats.json")).json();
  const CLASS = {class: 7, evicted: 0, evicted_age_seconds: 3600};
  const well = {
    ...served,
    uptime_seconds: 100000,
    hot_keys: [],
    latency_recent: {get: {count: 1000, p99_us: 9000}},
    memory: {...served.memory, classes: [CLASS], pages_free: served.memory.pages},
  };

  // The signs after `seconds` in each of which 100 gets hit, and then ten in each of which `each`
  // was done; `now` is changed in the last answer.
  function after(each, now = () => {}, seconds = 60) {
    const history = new History();
    let before = structuredClone(well);
    for (let second = 1; second <= seconds + 10; second += 1) {
      const stats = structuredClone(before);
      stats.commands.get.hits += 100;
      if (second > seconds) each(stats);
      history.add(sampleOf(before, stats, 1, new Date(second * 1000)));
      before = stats;
    }
    now(before);
    return signsOf(before, history)
      .map(({id, level}) => `${level} ${id}`)
      .join();
  }

  const nothing = () => {};
  const evict = (age, others) => (stats) => {
    Object.assign(stats.memory.classes[0], {evicted_age_seconds: age});
    stats.memory.classes[0].evicted += 5;
    stats.evictions.evicted += 5 + others;
  };
  return [
    ["nothing of a server that is well", after(nothing), ""],
    ["warning hitRatioFell", after((stats) => (stats.commands.get.misses += 10))],
    [
      "nothing after few seconds",
      after((stats) => (stats.commands.get.misses += 10), nothing, 5),
      "",
    ],
    ["nothing for a small fall", after((stats) => (stats.commands.get.misses += 4)), ""],
    ["bad noMemory", after((stats) => (stats.commands.no_memory += 1))],
    ["warning tooLarge", after((stats) => (stats.commands.too_large += 1))],
    ["warning authErrors", after((stats) => (stats.commands.auth_errors += 1))],
    ["bad refusedConnections", after((stats) => (stats.connections.rejected += 1))],
    ["warning connections", after(nothing, ({connections: its}) => (its.open = 0.95 * its.limit))],
    ["bad connections", after(nothing, (stats) => (stats.connections.accepting = false))],
    ["warning youngEvictions", after(evict(299, 0))],
    ["nothing for old items", after(evict(300, 0)), ""],
    ["nothing for a class that evicts few of all", after(evict(1, 1000)), ""],
    ["warning slowRequests", after((stats) => (stats.slow_requests.total += 1))],
    [
      "warning slowRequests by p99",
      after(nothing, (stats) => (stats.latency_recent.get.p99_us = 1e4)),
      "warning slowRequests",
    ],
    [
      "nothing for few",
      after(nothing, (stats) => (stats.latency_recent.get = {count: 9, p99_us: 1e6})),
      "",
    ],
    ["warning busy", after((stats) => (stats.cpu.user_seconds += stats.threads))],
    [
      "warning backlog",
      after(nothing, ({connections: its}) => {
        its.buffer_limit_bytes = 100;
        its.backlog_bytes = 51;
      }),
    ],
    [
      "note memoryFull",
      after(nothing, ({memory: its}) => {
        its.pages_free = 0;
        its.limit_bytes = its.pages * its.page_bytes;
      }),
    ],
    ["note hotKey", after(nothing, (stats) => (stats.hot_keys = [{key: "k", share_min: 0.2}]))],
    ["note justStarted", after(nothing, (stats) => (stats.uptime_seconds = 59))],
    ["note notSampled", after(nothing, (stats) => (stats.sampling = false))],
    [
      "warning busy,note notSampled",
      after(
        (stats) => (stats.cpu.user_seconds += stats.threads),
        (stats) => (stats.sampling = false),
      ),
    ],
    [
      "nothing when counters begin anew",
      String(sampleOf(well, {...well, uptime_seconds: 1}, 1, new Date()) ?? ""),
      "",
    ],
  ];
}

const parts = {
  async busy(browser) {
    const {page, troubles, reply} = await open(browser);
    const policy = reply.headers()["content-security-policy"] ?? "";
    ok(/default-src 'none'/.test(policy) && !/unsafe/.test(policy), "a strict policy is sent");
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => document.activeElement.id);
    ok(focused === "span", "the first stop of the keyboard is the choice of the time");
    await wait(5 * SECONDS);
    await compareWithStats(page);
    await showsWhatIsWrong(page);
    await keysAreText(page);
    await canBeRead(page);
    await looks(page);
    await restsWhileHidden(page);
    ok(troubles.size === 0, `the browser has nothing to complain of: ${[...troubles].join("; ")}`);
  },

  async still(browser) {
    const {page, troubles} = await open(browser);
    const counted = await stats();
    const shows = (heading, first, column, wanted) =>
      eventually(
        async () => number((await row(page, heading, first))?.[column] ?? "") === wanted,
        `${heading}, ${first}: ${wanted}`,
      );
    await shows("Throughput by command", "get", 4, counted.cmd_get);
    await shows("Throughput by command", "set", 4, counted.cmd_set);
    await shows("Hit ratio", "hits", 3, counted.get_hits);
    await shows("Hit ratio", "misses", 3, counted.get_misses);
    await shows("Evictions", "evicted, all", 4, counted.evictions);
    await shows("Connections", "limit", 1, counted.max_connections);
    ok(
      (await row(page, "Memory", `items: ${counted.curr_items.toLocaleString("en-US")}`)) !== null,
      `${counted.curr_items} items`,
    );
    await eventually(
      async () => /^Nothing\.$|^Note: The server started [^\n]*$/.test(await signs(page)),
      "nothing is unusual",
      60 * SECONDS,
    );
    ok(troubles.size === 0, `the browser has nothing to complain of: ${[...troubles].join("; ")}`);
    await picture(page, "still");
  },

  async rules(browser) {
    const {page} = await open(browser);
    for (const [name, said, wanted = name] of await page.evaluate(saysWhatIsWrong)) {
      ok(said === wanted, `${name}: "${said}"`);
    }
  },

  async silent(browser) {
    const {page} = await open(browser);
    const contact = () => page.textContent("#contact");
    await eventually(async () => (await contact()) === "The server answers.", "the server answers");
    process.kill(given.pid, "SIGSTOP");
    try {
      await eventually(
        async () => /does not answer .*What is shown is of \d\d:\d\d:\d\d/.test(await contact()),
        "that it does not is said, and of when the figures are",
      );
      ok(/no answer/.test(await page.title()), "in the title, too");
      await picture(page, "silent");
    } finally {
      process.kill(given.pid, "SIGCONT");
    }
    await eventually(
      async () => (await contact()) === "The server answers.",
      "when it does again, that is said",
    );
  },
};

run(async () => {
  const browser = await chromium.launch({executablePath: given.chromium, args: ["--no-sandbox"]});
  try {
    await parts[given.part](browser);
  } finally {
    await browser.close();
  }
});
