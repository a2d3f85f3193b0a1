"""JavaScript: the npm package `memcached`, TCP and unix socket.

The package comes from the npm registry in the versions that npm/package-lock.json pins, and stays
in a folder under build/ (or LARDER_CLIENT_CACHE), so only the first run needs the network.
"""

import hashlib
import os
import shutil

import support

NODE = support.need_program("node", "nodejs")
NPM = support.need_program("npm", "npm")
SOURCE = os.path.join(support.HERE, "npm")
CACHE = os.environ.get("LARDER_CLIENT_CACHE",
                       os.path.join(support.REPOSITORY, "build", "client-cache"))


def installed():
    """The folder that holds node_modules, installed if this is the first run."""
    with open(os.path.join(SOURCE, "package-lock.json"), "rb") as lock:
        version = hashlib.sha256(lock.read()).hexdigest()[:16]
    folder = os.path.join(CACHE, f"npm-{version}")
    if os.path.exists(os.path.join(folder, "complete")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(SOURCE, name), folder)
    done = support.run([NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    if done.returncode != 0:
        support.fail(f"npm could not install the package memcached:\n{done.stdout}")
    open(os.path.join(folder, "complete"), "w").close()
    return folder


FOLDER = installed()


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
    support.main()
