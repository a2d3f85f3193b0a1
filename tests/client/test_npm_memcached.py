"""JavaScript: the npm package `memcached`, TCP and unix socket.

Each run installs the packages into a folder of its own, in the versions that npm/package-lock.json
pins, from whatever registry npm is set up with; npm's own cache spares it the network.
"""

import os
import tempfile

import support

NODE = support.need_program("node", "nodejs")
SOURCE = os.path.join(support.HERE, "npm")


class NpmMemcached:
    def address(self):
        if not self.server.path:
            return self.server.address
        # This client takes a path for a socket only if it ends like a port.
        named_like_a_port = self.server.path + ":0"
        if not os.path.lexists(named_like_a_port):
            os.symlink(self.server.path, named_like_a_port)
        return named_like_a_port

    def test_memcached(self):
        self.run_script(NODE, os.path.join(SOURCE, "memcached.js"), self.address(), FOLDER)


class OverTcp(NpmMemcached, support.ScriptCase):
    pass


class OverUnixSocket(NpmMemcached, support.ScriptCase):
    over_unix_socket = True


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        support.main()
