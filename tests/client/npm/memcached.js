// npm's memcached against the server whose address is the first argument; the second one is the
// folder that holds node_modules. Reports TAP.
"use strict";

const crypto = require("crypto");
const path = require("path");

const {is, ok, refused, run, wait} = require("./checks.js");

const [address, folder] = process.argv.slice(2);
const Memcached = require(path.join(folder, "node_modules", "memcached"));

const options = {maxValue: 4 * 1024 * 1024, timeout: 20000, retries: 0};
const client = new Memcached(address, options);

function call(name, ...args) {
  return callOn(client, name, ...args);
}

function callOn(memcached, name, ...args) {
  return new Promise((resolve, reject) => {
    memcached[name](...args, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function values() {
  for (const value of ["text", "two\r\nlines\0", 17, true, {a: [1, 2]}, ""]) {
    is(await call("set", "k", value, 0), true, `${typeof value} is stored`);
    is(await call("get", "k"), value, "and comes back");
  }
  const bytes = Buffer.from([...Array(256).keys()]);
  await call("set", "bytes", bytes, 0);
  ok(Buffer.compare(await call("get", "bytes"), bytes) === 0, "a buffer comes back");
  const large = "x".repeat(1024 * 1024 - 2048);
  is(await call("set", "large", large, 0), true, "nearly one megabyte is stored");
  ok((await call("get", "large")) === large, "and comes back whole");
  await call("set", "refused", "old", 0);
  // A SERVER_ERROR makes this client leave the server for a while, so another one takes the blow.
  const other = new Memcached(address, options);
  const stored = callOn(other, "set", "refused", "x".repeat(2 * 1024 * 1024), 0);
  ok((await stored.catch(() => false)) !== true, "two megabytes are refused");
  other.end();
  is(await call("get", "refused"), undefined, "and the old value is gone");
}

async function conditions() {
  is(await call("get", "missing"), undefined, "a missing key is undefined");
  is(await call("del", "missing"), false, "it cannot be deleted");
  ok(await refused(call("replace", "fresh", "x", 0)), "replace needs a value");
  is(await call("add", "fresh", "b", 0), true, "add stores where nothing is");
  ok(await refused(call("add", "fresh", "y", 0)), "and refuses where something is");
  is(await call("append", "fresh", "c"), true, "append");
  is(await call("prepend", "fresh", "a"), true, "and prepend");
  is(await call("get", "fresh"), "abc", "have put the pieces together");

  await call("set", "c", "one", 0);
  const found = await call("gets", "c");
  is(found.c, "one", "gets answers the value");
  is(await call("cas", "c", "two", found.cas, 0), true, "cas stores what nobody has changed");
  is(await call("cas", "c", "three", found.cas, 0), false, "and refuses what somebody has");
  is(await call("get", "c"), "two", "so the value is right");
}

async function counters() {
  is(await call("incr", "n", 1), false, "a missing counter is not incremented");
  await call("set", "n", 10, 0);
  is(await call("incr", "n", 32), 42, "a counter goes up");
  is(await call("decr", "n", 2), 40, "and down");
  is(await call("decr", "n", 1000), 0, "but not below 0");
  await call("set", "word", "abc", 0);
  ok(/non-numeric/.test(await refused(call("incr", "word", 1))), "a word is no counter");
}

async function many() {
  const wanted = {};
  for (let number = 0; number < 500; number += 1) {
    wanted[`key-${number}`] = "v".repeat(number + 1);
  }
  await Promise.all(Object.entries(wanted).map(([key, value]) => call("set", key, value, 0)));
  is(await call("getMulti", [...Object.keys(wanted), "missing"]), wanted,
     "500 keys come back at once");
  is(await call("del", "key-1"), true, "a key is deleted");
  is(await call("get", "key-1"), undefined, "and gone");
}

async function expiry() {
  await call("set", "short", 1, 1);
  await call("set", "touched", 2, 1);
  is(await call("touch", "touched", 100), true, "a key is touched");
  is(await call("touch", "missing", 100), false, "a missing one is not");
  await wait(2100);
  is(await call("getMulti", ["short", "touched"]), {touched: 2},
     "what was touched lives on, the other has expired");
}

async function server() {
  const [figures] = await call("stats");
  ok(figures.curr_items > 400, "statistics are understood");
  const [settings] = await call("settings");
  is(Number(settings.maxbytes), 64 * 1024 * 1024, "also the settings");
  const [slabs] = await call("slabs");
  ok(Object.keys(slabs).length > 1, "also the slab classes");
  const [version] = await call("version");
  is(version.major, "1", "the version is understood");
  is(await call("set", "k".repeat(250), "longest", 0), true, "the longest key is stored");
  is(await call("get", "k".repeat(250)), "longest", "and comes back");
  is(await call("set", "k".repeat(400), "shortened", 0), true, "a longer one is shortened by a hash");
  is(await call("get", "k".repeat(400)), "shortened", "and comes back");
  is(await call("flush"), [true], "everything is flushed");
  is(await call("get", "key-2"), undefined, "and gone");
}

run(async () => {
  for (const part of [values, conditions, counters, many, expiry, server]) {
    await part();
  }
  client.end();
});
