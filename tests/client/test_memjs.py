"""JavaScript: memjs, an npm package that speaks the binary protocol, on one server and on two.

It knows no unix sockets. How it gets here is told in test_npm_memcached.py.
"""

import os
import tempfile

import support

NODE = support.need_program("node", "nodejs")
SCRIPT = os.path.join(support.HERE, "npm", "memjs.js")


class OneServer(support.ScriptCase):
    def test_memjs(self):
        self.run_script(NODE, SCRIPT, self.server.address, FOLDER)


class TwoServers(support.ScriptCase):
    def test_memjs(self):
        with support.Server() as second:
            self.run_script(NODE, SCRIPT, f"{self.server.address},{second.address}", FOLDER)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        support.main()
