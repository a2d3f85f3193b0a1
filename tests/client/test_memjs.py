"""JavaScript: the npm package `memjs` (binary protocol), on one server, on two and with SASL.

It knows no unix sockets. How npm packages get here is told in test_npm_memcached.py.
"""

import os
import tempfile

import support
from auth_support import PASSWORD, SASL_USER, SaslCase

NODE = support.need_program("node", "nodejs")
SCRIPT = os.path.join(support.HERE, "npm", "memjs.js")


class OneServer(support.ScriptCase):
    def test_memjs(self):
        self.run_script(NODE, SCRIPT, self.server.address, FOLDER)


class TwoServers(support.ScriptCase):
    def test_memjs(self):
        with support.Server() as second:
            self.run_script(NODE, SCRIPT, f"{self.server.address},{second.address}", FOLDER)


class Sasl(SaslCase):
    def run_node(self, password):
        return support.run([NODE, SCRIPT, self.server.address, FOLDER, SASL_USER, password])

    def test_a_user_is_served(self):
        done = self.run_node(PASSWORD)
        self.assertEqual((done.returncode, support.complaints_of_tap(done.stdout)), (0, []),
                         done.stdout)

    def test_a_stranger_is_not(self):
        done = self.run_node("baz")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("authentication failed", done.stdout)
        self.assertNotIn("\nok", "\n" + done.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        support.main()
