// memjs (binary protocol). Arguments: the addresses of servers, separated by commas; the folder that
// holds node_modules; user and password, if the servers ask for them. Reports TAP.
"use strict";

const path = require("path");

const {is, ok, refused, run, wait} = require("./checks.js");

const [addresses, folder, username, password] = process.argv.slice(2);
const {Client} = require(path.join(folder, "node_modules", "memjs"));

const servers = addresses.split(",");
const quiet = {log: () => {}};
const options = {timeout: 20, conntimeout: 20, retries: 1, username, password, logger: quiet};
const client = Client.create(addresses, options);

// What the key holds, as text; null on a miss.
async function text(key, reader = client) {
  const {value} = await reader.get(key);
  return value && value.toString();
}

async function values() {
  const allBytes = Buffer.from([...Array(256).keys()]);
  for (const value of [Buffer.from("text"), Buffer.from("two\r\nlines\0"), Buffer.alloc(0), allBytes,
    Buffer.alloc(1024 * 1024 - 2048, "x")]) {
    is(await client.set("k", value, {expires: 0}), true, `${value.length} bytes are stored`);
    const found = await client.get("k");
    ok(found.value && Buffer.compare(found.value, value) === 0, "and come back");
    is(found.flags && found.flags.length, 4, "with flags");
  }
  is(await client.set("refused", "old", {}), true, "a value is stored");
  ok(/larger|large/i.test(await refused(client.set("refused", Buffer.alloc(2 * 1024 * 1024), {}))),
     "two megabytes are refused");
  is(await text("refused"), null, "and the old value is gone");
  is(await client.set("k".repeat(250), "longest", {}), true, "the longest key is stored");
  is(await text("k".repeat(250)), "longest", "and comes back");
}

async function conditions() {
  is(await text("missing"), null, "a missing key is null");
  is(await client.delete("missing"), false, "it cannot be deleted");
  is(await client.replace("fresh", "x", {}), false, "replace needs a value");
  is(await client.add("fresh", "b", {}), true, "add stores where nothing is");
  is(await client.add("fresh", "y", {}), false, "and refuses where something is");
  is(await client.append("fresh", "c"), true, "append");
  is(await text("fresh"), "bc", "has put the pieces together");
  // memjs 1.3.2 sends the opcode of append for prepend, too: that it is answered is all there is to see.
  is(await client.prepend("fresh", "d"), true, "prepend");
  ok(/not stored/i.test(await refused(client.append("missing", "c"))), "nothing is appended to nothing");
  is(await client.replace("fresh", "z", {}), true, "replace stores where something is");
  is(await client.delete("fresh"), true, "a key is deleted");
  is(await text("fresh"), null, "and gone");
}

async function counters() {
  is((await client.increment("n", 5, {initial: 10})).value, 10, "a new counter has its first value");
  is((await client.increment("n", 32, {})).value, 42, "goes up");
  is((await client.decrement("n", 2, {})).value, 40, "and down");
  is((await client.decrement("n", 1000, {})).value, 0, "but not below 0");
  await client.set("word", "abc", {});
  ok(/numeric/i.test(await refused(client.increment("word", 1, {}))), "a word is no counter");
  is(await text("word"), "abc", "and stays as it was");
}

async function many() {
  const keys = [...Array(500).keys()].map((number) => `key-${number}`);
  await Promise.all(keys.map((key) => client.set(key, key.repeat(3), {})));
  const found = await Promise.all(keys.map((key) => text(key)));
  is(found, keys.map((key) => key.repeat(3)), "500 keys come back, all asked for at once");
  for (const address of servers) {
    const one = Client.create(address, options);
    const here = (await Promise.all(keys.map((key) => text(key, one)))).filter((value) => value);
    one.close();
    ok(servers.length === 1 ? here.length === 500 : here.length > 100 && here.length < 400,
       `${here.length} of them are on this server`);
  }
}

async function expiry() {
  await client.set("short", "1", {expires: 1});
  await client.set("touched", "2", {expires: 1});
  is(await client.touch("touched", 100), true, "a key is touched");
  is(await client.touch("missing", 100), false, "a missing one is not");
  await wait(2100);
  is([await text("short"), await text("touched")], [null, "2"],
     "what was touched lives on, the other has expired");
}

// What each server answers to `stats <key>`, by address.
function statistics(key) {
  return new Promise((resolve, reject) => {
    const answers = {};
    client.statsWithKey(key, (error, address, figures) => {
      if (error) {
        reject(error);
      }
      answers[address] = figures;
      if (Object.keys(answers).length === servers.length) {
        resolve(answers);
      }
    });
  });
}

async function server() {
  const figures = await statistics("");
  is(Object.keys(figures).sort(), [...servers].sort(), "every server answers statistics");
  const items = Object.values(figures).reduce((sum, one) => sum + Number(one.curr_items), 0);
  ok(items >= 500, "which count the items");
  const settings = await statistics("settings");
  is(settings[servers[0]].maxbytes, String(64 * 1024 * 1024), "also the settings");
  is(Object.values(await client.flush()), servers.map(() => true), "everything is flushed");
  is(await text("key-2"), null, "and gone");
}

run(async () => {
  for (const part of [values, conditions, counters, many, expiry, server]) {
    await part();
  }
  client.quit();
});
