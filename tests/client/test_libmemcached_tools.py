"""libmemcached's command line tools: memccat, memccp, memcexist, memctouch, memcrm and the rest."""

import os
import re
import tempfile
import time

import support

PACKAGE = "libmemcached-tools"
TOOLS = {name: support.need_program(name, PACKAGE) for name in (
    "memccat", "memccp", "memcexist", "memctouch", "memcrm", "memcflush", "memcping", "memcstat",
    "memcslap", "memcaslap", "memcdump", "memcerror")}


class Tools:
    """Every test runs over text and binary, TCP and unix socket."""

    binary = False

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="larder-tools-")
        self.addCleanup(self.folder.cleanup)

    def tool(self, name, *arguments, binary=None):
        options = ["-s", self.server.address]
        if self.binary if binary is None else binary:
            options.append("-b")
        return support.run([TOOLS[name], *options, *arguments])

    def file(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def fetched(self, key):
        """The value as memccat writes it into a file."""
        path = os.path.join(self.folder.name, "fetched")
        done = self.tool("memccat", f"--file={path}", key)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(path, "rb") as file:
            return file.read()

    def test_a_file_copied_in_comes_out_again(self):
        for name, content in (("plain", b"some text"), ("bytes", support.ALL_BYTES),
                              ("large", os.urandom(support.NEARLY_ONE_MEGABYTE)), ("empty", b"")):
            done = self.tool("memccp", self.file(name, content))
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(self.fetched(name), content)

    def test_add_and_replace_heed_what_is_there(self):
        path = self.file("k", b"one")
        self.assertNotEqual(self.tool("memccp", "--replace", path).returncode, 0)
        self.assertEqual(self.tool("memccp", "--add", path).returncode, 0)
        path = self.file("k", b"two")
        self.assertNotEqual(self.tool("memccp", "--add", path).returncode, 0)
        self.assertEqual(self.fetched("k"), b"one")
        self.assertEqual(self.tool("memccp", "--replace", path).returncode, 0)
        self.assertEqual(self.fetched("k"), b"two")

    def test_flags_are_shown(self):
        self.tool("memccp", "--flags=77", self.file("flagged", b"x"))
        self.assertIn("77", self.tool("memccat", "--flags", "flagged").stdout)

    def test_a_missing_key_is_reported(self):
        self.assertNotEqual(self.tool("memccat", "nobody").returncode, 0)
        self.assertNotEqual(self.tool("memcexist", "nobody").returncode, 0)
        self.assertNotEqual(self.tool("memcrm", "nobody").returncode, 0)
        self.assertNotEqual(self.tool("memctouch", "--expire=10", "nobody").returncode, 0)

    def test_exist_leaves_the_value_alone(self):
        self.tool("memccp", self.file("k", b"value"))
        self.assertEqual(self.tool("memcexist", "k").returncode, 0)
        self.assertEqual(self.fetched("k"), b"value")

    def test_a_touched_key_expires(self):
        self.tool("memccp", self.file("k", b"value"))
        self.assertEqual(self.tool("memctouch", "--expire=1", "k").returncode, 0)
        time.sleep(2.1)
        self.assertNotEqual(self.tool("memcexist", "k").returncode, 0)

    def test_a_file_copied_in_with_an_expiry_expires(self):
        self.tool("memccp", "--expire=1", self.file("k", b"value"))
        time.sleep(2.1)
        self.assertNotEqual(self.tool("memcexist", "k").returncode, 0)

    def test_removed_and_flushed_keys_are_gone(self):
        self.tool("memccp", self.file("a", b"1"), self.file("b", b"2"))
        self.assertEqual(self.tool("memcrm", "a").returncode, 0)
        self.assertNotEqual(self.tool("memcexist", "a").returncode, 0)
        self.assertEqual(self.tool("memcexist", "b").returncode, 0)
        self.assertEqual(self.tool("memcflush").returncode, 0)
        self.assertNotEqual(self.tool("memcexist", "b").returncode, 0)

    def test_the_server_answers_a_ping(self):
        self.assertEqual(self.tool("memcping", binary=False).returncode, 0)

    def test_statistics_and_version_are_understood(self):
        self.tool("memccp", self.file("k", b"value"))
        done = self.tool("memcstat")
        self.assertEqual(done.returncode, 0, done.stdout)
        for name in ("pid", "uptime", "version", "curr_items", "limit_maxbytes", "threads"):
            self.assertRegex(done.stdout, rf"{name}: *\S+")
        done = self.tool("memcstat", "--server-version")
        self.assertRegex(done.stdout, r"1\.\d+\.\d+")

    def test_statistics_of_a_section_are_understood(self):
        done = self.tool("memcstat", "settings")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"maxbytes: *\d+")

    def test_a_dump_lists_the_keys_of_values_of_all_sizes(self):
        # memcdump knows text only, and asks for memcached's slab classes, which end at 63.
        names = [f"size-{size}" for size in (1, 100, 1000, 5000, 20_000, 200_000)]
        for name in names:
            self.tool("memccp", self.file(name, b"x" * int(name[5:])))

        def listed():
            done = self.tool("memcdump", binary=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            return sorted(done.stdout.split()) == sorted(names)

        # memcached itself lists an item once it has moved to the end of its LRU.
        support.wait_until(listed, "a dump of all keys", 10)

    def test_a_load_of_many_threads_runs_through(self):
        for kind in ("set", "get", "mget"):
            done = self.tool("memcslap", f"--test={kind}", "--concurrency=4",
                             "--execute-number=500", "--initial-load=500")
            self.assertEqual(done.returncode, 0, done.stdout)


class OverTcpOnly(Tools):
    """memcaslap knows no unix sockets."""

    def test_a_load_that_checks_its_values_finds_none_wrong(self):
        # memcaslap calls the binary protocol -B.
        options = ["-B"] if self.binary else []
        for keys_at_once in (1, 10):
            done = self.tool("memcaslap", *options, "--execute_number=5000", "--concurrency=4",
                             "--threads=2", "--verify=1", "--exp_verify=0.05",
                             f"--division={keys_at_once}", binary=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            figures = dict(re.findall(r"^(\w+): (\d+)$", done.stdout, re.M))
            self.assertGreater(int(figures["cmd_get"]), 1000)
            for wrong in ("get_misses", "verify_misses", "verify_failed", "unexpired_unget"):
                self.assertEqual(figures[wrong], "0", done.stdout)


class TextOverTcp(OverTcpOnly, support.ServerCase):
    pass


class BinaryOverTcp(OverTcpOnly, support.ServerCase):
    binary = True


class TextOverUnixSocket(Tools, support.ServerCase):
    over_unix_socket = True


class BinaryOverUnixSocket(Tools, support.ServerCase):
    over_unix_socket = True
    binary = True


class NobodyThere(support.unittest.TestCase):
    def test_a_ping_to_a_closed_port_fails(self):
        done = support.run([TOOLS["memcping"], "-s", f"127.0.0.1:{support.free_port()}"])
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    support.main()
