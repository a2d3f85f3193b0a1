// elasticache-client, for test_fleet.py: writes and reads as fleet_load.cc does, while a fleet
// changes. Argument: a JSON object with `folder`, which holds node_modules, `servers`, host:port of
// each to begin with, and `seconds`. Prints a line of JSON at the end.
"use strict";

const path = require("path");

const {wait} = require("./checks.js");

const {folder, servers, seconds} = JSON.parse(process.argv[2]);
const Client = require(path.join(folder, "node_modules", "elasticache-client"));

const KEYS = 500;
const UPDATE_MS = 200;
const PAUSE_MS = 1;
const WRITES_IN_TEN = 3;

const figures = {operations: 0, errors: 0, misses: 0, stale: 0, wrong: 0, versions: []};

// Null if it fails, and within two seconds in any case.
const call = (client, command, ...args) =>
  new Promise((resolve) => {
    const late = setTimeout(() => resolve(null), 2000);
    try {
      client[command](...args, (error, value) => {
        clearTimeout(late);
        resolve(error ? null : {value});
      });
    } catch (error) {  // a node that has just gone from its list
      clearTimeout(late);
      resolve(null);
    }
  });

async function step(client, key) {
  figures.operations += 1;
  if (key.tried > 0 && Math.random() * 10 >= WRITES_IN_TEN) {
    const found = await call(client, "get", key.name);
    if (found === null) {
      figures.errors += 1;
    } else if (found.value === undefined || found.value === false) {
      figures.misses += 1;
    } else if (found.value !== `${key.name}=${key.tried}`) {
      figures[String(found.value).startsWith(`${key.name}=`) ? "stale" : "wrong"] += 1;
    }
    return;
  }
  key.tried += 1;
  const stored = await call(client, "set", key.name, `${key.name}=${key.tried}`, 0);
  if (stored === null) figures.errors += 1;
}

async function main() {
  const client = new Client(servers[0], {
    autodiscovery: true, update_time: UPDATE_MS, timeout: 500, retries: 1, retry: 500, reconnect: 500,
  });
  const keys = Array.from({length: KEYS}, (_, i) => ({name: `js-${i}`, tried: 0}));
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    await step(client, keys[Math.floor(Math.random() * KEYS)]);
    const version = client.cluster_version;
    if (version !== figures.versions[figures.versions.length - 1]) figures.versions.push(version);
    await wait(PAUSE_MS);
  }
}

process.on("uncaughtException", () => { figures.errors += 1; });  // of a node that is gone
main().then(() => {
  console.log(JSON.stringify(figures));
  process.exit(0);
}, (error) => {
  console.log(String(error && error.stack));
  process.exit(1);
});
