"""The dashboard of --http in Chromium, under load, at rest, and while the server hangs.

What it shows is compared with `stats`. Screenshots are kept in the folder that LARDER_PICTURES
names; else they go when the test ends. The browser is Debian's, driven by npm's playwright-core."""

import json
import os
import subprocess
import tempfile
import unittest

import support

BENCH = support.bench_program()
NODE = support.need_program("node", "nodejs")
CHROMIUM = support.need_program("chromium", "chromium")
SCRIPT = os.path.join(support.HERE, "npm", "dashboard.js")


class Dashboard(unittest.TestCase):
    def start(self, *options):
        http = support.free_port()
        server = support.Server("--http", f"127.0.0.1:{http}", "-t", "2", *options)
        self.addCleanup(server.stop)
        return server, f"http://127.0.0.1:{http}/"

    def look(self, part, server, url):
        given = {"part": part, "url": url, "port": server.port, "pid": server.process.pid,
                 "folder": FOLDER, "chromium": CHROMIUM, "pictures": PICTURES}
        done = support.run([NODE, SCRIPT, json.dumps(given)], timeout=150)
        wrong = support.complaints_of_tap(done.stdout)
        self.assertEqual((done.returncode, wrong), (0, []), done.stdout)

    def test_under_load(self):
        """Twice as much as fits, and nearly as many connections as are allowed."""
        server, url = self.start("-m", "16", "-c", "40")
        load = subprocess.Popen(
            [BENCH, "--server", server.address, "--connections", "37", "--mix", "get=8,set=1,delete=1",
             "--keys", "40000", "--popularity", "zipf:0.9", "--value-bytes", "lognormal:700:0.9",
             "--fill-on-miss", "--rate", "3000", "--seconds", "200", "--quiet"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            support.wait_until(lambda: int(server.stat("evictions")) > 0, "an eviction", 60)
            self.look("busy", server, url)
            self.assertIsNone(load.poll(), "the load went on to the end")
        finally:
            load.terminate()
            load.wait()

    def test_at_rest(self):
        server, url = self.start("-m", "64")
        done = support.run([BENCH, "--server", server.address, "--connections", "4", "--requests",
                            "20000", "--keys", "5000", "--mix", "get=3,set=1"])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.look("still", server, url)

    def test_what_it_calls_unusual(self):
        self.look("rules", *self.start())

    def test_a_server_that_hangs(self):
        self.look("silent", *self.start())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        PICTURES = os.environ.get("LARDER_PICTURES") or FOLDER
        os.makedirs(PICTURES, exist_ok=True)
        support.main()
