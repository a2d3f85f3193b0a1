"""JavaScript: the npm package `elasticache-client`, which finds its servers by `config get cluster`.

Three servers read one file (--cluster-file), which changes under the client's eyes. How npm packages
get here is told in test_npm_memcached.py.
"""

import contextlib
import json
import os
import tempfile
import unittest

import support

NODE = support.need_program("node", "nodejs")
SCRIPT = os.path.join(support.HERE, "npm", "elasticache.js")
NODES = 3
FOUND = 2  # that are in the file at first


class Discovery(unittest.TestCase):
    def test_a_fleet_is_found_and_followed(self):
        file = os.path.join(FOLDER, "nodes")
        with contextlib.ExitStack() as stack:
            fleet = [stack.enter_context(support.Server("-v", "--cluster-file", file))
                     for _ in range(NODES)]
            ports = [server.port for server in fleet]
            self.assertEqual(fleet[0].ask(b"config get cluster\r\n"), b"END\r\n")
            with open(file, "w") as nodes:
                nodes.write(" ".join(f"localhost|127.0.0.1|{port}" for port in ports[:FOUND]) + "\n")
            for server in fleet:
                support.wait_until(
                    lambda: server.ask(b"config get cluster\r\n").startswith(b"CONFIG cluster 0 "),
                    "reading the file that came later")
            given = json.dumps({"folder": FOLDER, "nodes": ports, "file": file, "found": FOUND})
            done = support.run([NODE, SCRIPT, given])
            self.assertEqual((done.returncode, support.complaints_of_tap(done.stdout)), (0, []),
                             done.stdout)
            for server in fleet:
                output = server.output()
                self.assertIn("follows the line of the nodes; version ", output)
                self.assertIn("has 3 nodes\n", output)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        support.main()
