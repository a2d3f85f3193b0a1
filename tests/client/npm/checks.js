// What the scripts here check with, and report as TAP.
"use strict";

const util = require("util");

const POLL_MS = 100;
const PATIENCE_MS = 20000;

let checks = 0;
let failed = 0;

function ok(passed, sentence) {
  checks += 1;
  failed += passed ? 0 : 1;
  console.log(`${passed ? "" : "not "}ok ${checks} - ${sentence}`);
}

function is(got, wanted, sentence) {
  const same = util.isDeepStrictEqual(got, wanted);
  ok(same, sentence);
  if (!same) {
    console.log(`# got ${util.inspect(got).slice(0, 200)}, wanted ${util.inspect(wanted).slice(0, 200)}`);
  }
}

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function eventually(happens, sentence, milliseconds = PATIENCE_MS) {
  const deadline = Date.now() + milliseconds;
  let happened = await happens();
  while (!happened && Date.now() < deadline) {
    await wait(POLL_MS);
    happened = await happens();
  }
  ok(happened, sentence);
}

// Why the promise fails; null if it does not.
const refused = (promise) => promise.then(() => null, (error) => String(error.message || error));

// Runs the checks to their end, which is that of the process, whoever still wants to reconnect.
function run(all) {
  all().then(() => {
    console.log(`1..${checks}`);
    process.exit(failed === 0 ? 0 : 1);
  }).catch((error) => {
    console.log(`not ok ${checks + 1} - ${error && error.stack ? error.stack : util.inspect(error)}`);
    process.exit(1);
  });
}

module.exports = {ok, is, wait, eventually, refused, run};
