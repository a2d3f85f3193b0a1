// elasticache-client: ElastiCache's auto discovery. Argument: a JSON object with `folder`, which holds
// node_modules, `nodes`, the ports of servers on loopback that all read `file`, and `found`, how many
// of them, from the first, the file names when this begins. Reports TAP.
"use strict";

const fs = require("fs");
const net = require("net");
const path = require("path");

const {eventually, ok, run, wait} = require("./checks.js");

const {folder, nodes, file, found} = JSON.parse(process.argv[2]);
const Client = require(path.join(folder, "node_modules", "elasticache-client"));

const KEYS = 300;
const UPDATE_MS = 100;

// What a server answers, apart from the client.
function ask(port, request, end) {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("latin1");
    socket.on("error", reject);
    socket.on("data", (more) => {
      answer += more;
      if (answer.endsWith(end)) {
        socket.destroy();
        resolve(answer);
      }
    });
  });
}

const keys = Array.from({length: KEYS}, (_, i) => `key${i}`);

async function held(port) {
  const values = (await ask(port, `get ${keys.join(" ")}\r\n`, "END\r\n")).match(/^VALUE /gm);
  return values === null ? 0 : values.length;
}

const call = (client, command, ...args) =>
  new Promise((resolve, reject) => {
    client[command](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });

// Replaced as a whole, as editors do.
function publish(text) {
  fs.writeFileSync(`${file}.new`, text);
  fs.renameSync(`${file}.new`, file);
}

const listOf = (ports) => `${ports.map((port) => `localhost|127.0.0.1|${port}`).join(" ")}\n`;

// Which nodes get some of the keys, once everything has been emptied.
async function nodesInUse(client) {
  for (const port of nodes) await ask(port, "flush_all\r\n", "OK\r\n");
  for (const key of keys) await call(client, "set", key, `value of ${key}`, 0);
  const used = [];
  let all = 0;
  for (const port of nodes) {
    const some = await held(port);
    all += some;
    if (some > 0) used.push(port);
  }
  return all === KEYS ? used.join() : `${all} of ${KEYS} keys`;
}

async function main() {
  const client = new Client(`127.0.0.1:${nodes[0]}`, {autodiscovery: true, update_time: UPDATE_MS});
  const first = nodes.slice(0, found);
  const before = client.cluster_version;
  ok(before > 0, `a list is found, version ${before}`);
  ok((await nodesInUse(client)) === first.join(), "keys go to the nodes in it, and all of them");
  ok((await call(client, "get", "key7")) === "value of key7", "and are found there");

  publish(listOf(nodes));
  await eventually(() => client.cluster_version > before, "a change of the file is followed");
  const changed = client.cluster_version;
  ok((await nodesInUse(client)) === nodes.join(), "keys go to the node that is new, too");

  publish(`${changed + 10}\n${listOf(first)}localhost|127.0.0.1\n`);
  await wait(10 * UPDATE_MS);
  ok(client.cluster_version === changed, "a bad edit is not");
  ok((await nodesInUse(client)) === nodes.join(), "and keys go where they went");

  publish(`${changed + 20}\n${listOf(nodes.slice(1))}`);
  await eventually(
    () => client.cluster_version === changed + 20,
    "a version of the file's own is taken",
  );
  ok(
    (await nodesInUse(client)) === nodes.slice(1).join(),
    "no key goes to the node that has gone, which still says where the others are",
  );
  for (const port of nodes) {
    const answer = await ask(port, "config get cluster\r\n", "END\r\n");
    ok(answer.includes(`\r\n${changed + 20}\n`), `${port} says the same version`);
  }
}

run(main);
