"""The Perl programs that come with memcached: memcached-tool, and damemtop on a terminal."""

import contextlib
import os
import pty
import re
import select
import subprocess
import tempfile
import termios
import time

import support

PERL = support.need_program("perl", "perl")
FOLDER = "/usr/share/memcached/scripts"
TOOL = os.path.join(FOLDER, "memcached-tool")
DAMEMTOP = os.path.join(FOLDER, "damemtop")

for needed in (TOOL, DAMEMTOP):
    if not os.path.exists(needed):
        support.fail(f"{needed} is not there; install the package memcached")
for module, package in (("AnyEvent", "libanyevent-perl"), ("YAML", "libyaml-perl"),
                        ("Term::ReadKey", "libterm-readkey-perl")):
    if support.run([PERL, f"-M{module}", "-e1"]).returncode != 0:
        support.fail(f"perl cannot load {module}; install the package {package}")


class MemcachedTool:
    def tool(self, *arguments):
        done = support.run([PERL, TOOL, self.server.address, *arguments])
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def figures(self, mode):
        """The lines of a table of two columns."""
        return dict(re.findall(r"^ +(\S+) +(\S+)\r?$", self.tool(mode), re.M))

    def store(self, key, size=10, flags=0, exptime=0):
        request = b"set %s %d %d %d\r\n%s\r\n" % (key.encode(), flags, exptime, size, b"x" * size)
        self.assertEqual(self.server.ask(request), b"STORED\r\n")

    def test_display_shows_the_slab_classes_in_use(self):
        # What was flushed before is in the figures until it is reclaimed.
        support.wait_until(lambda: self.server.stat("curr_items") == "0", "reclaiming", 10)
        for number in range(40):
            self.store(f"small-{number}", 10)
        for number in range(5):
            self.store(f"large-{number}", 20_000)
        lines = self.tool("display").splitlines()
        self.assertRegex(lines[0], r"^  #  Item_Size  Max_age   Pages   Count   Full\?")
        classes = [line.split() for line in lines[1:]]
        in_use = [line for line in classes if int(line[4]) > 0]
        self.assertEqual([int(line[4]) for line in in_use], [40, 5])
        for number, size, age, pages, *_ in in_use:
            self.assertGreater(int(number), 0)
            self.assertRegex(size, r"^[\d.]+[BK]$")
            self.assertRegex(age, r"^\d+s$")
            self.assertGreaterEqual(int(pages), 1)
        self.assertEqual(self.tool().splitlines()[0], lines[0])  # it is also the default

    def test_stats_shows_the_figures(self):
        self.store("k")
        figures = self.figures("stats")
        for name in ("pid", "uptime", "version", "threads", "cmd_set", "evictions"):
            self.assertIn(name, figures)
        self.assertEqual(figures["total_items"], self.server.stat("total_items"))
        self.assertEqual(figures["limit_maxbytes"], str(64 * 1024 * 1024))

    def test_settings_shows_the_settings(self):
        figures = self.figures("settings")
        self.assertEqual(figures["maxbytes"], str(64 * 1024 * 1024))
        self.assertEqual(figures["item_size_max"], str(1024 * 1024))
        self.assertGreater(len(figures), 40)

    def test_sizes_shows_that_they_are_not_counted(self):
        self.assertEqual(self.figures("sizes"), {"sizes_status": "disabled"})

    def test_keys_lists_every_key(self):
        for number in range(100):
            self.store(f"key-{number}", number * 100, exptime=1000 if number % 2 else 0)
        lines = re.findall(r"^key=(\S+) exp=(-?\d+) la=(\d+) cas=(\d+) fetch=(yes|no) cls=(\d+) "
                           r"size=(\d+)", self.tool("keys"), re.M)
        self.assertEqual(sorted(line[0] for line in lines),
                         sorted(f"key-{number}" for number in range(100)))
        for key, exptime, accessed, *_, size in lines:
            number = int(key[4:])
            self.assertAlmostEqual(int(accessed), time.time(), delta=10)
            self.assertGreater(int(size), number * 100)
            if number % 2:
                self.assertAlmostEqual(int(exptime), time.time() + 1000, delta=10)
            else:
                self.assertEqual(exptime, "-1")

    def test_a_dump_can_be_played_into_another_server(self):
        for number in range(100):
            self.store(f"key-{number}", number * 100, flags=number)
        self.store("odd%key?", 5)
        dumped = self.tool("dump")
        requests = dumped[dumped.index("add "):].encode()
        self.assertEqual(requests.count(b"add "), 101)
        with support.Server() as other:
            answers = other.ask(requests + b"mn\r\n", b"MN\r\n")
            self.assertEqual(answers, b"STORED\r\n" * 101 + b"MN\r\n")
            for number in range(100):
                self.assertEqual(
                    other.ask(b"get key-%d\r\n" % number, b"END\r\n"),
                    b"VALUE key-%d %d %d\r\n%s\r\nEND\r\n"
                    % (number, number, number * 100, b"x" * (number * 100)))
            self.assertEqual(other.ask(b"get odd%key?\r\n", b"END\r\n"),
                             b"VALUE odd%key? 0 5\r\nxxxxx\r\nEND\r\n")

    def test_an_unknown_mode_is_explained(self):
        done = support.run([PERL, TOOL, self.server.address, "nothing"])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Usage: memcached-tool", done.stdout)


class ToolOverTcp(MemcachedTool, support.ServerCase):
    pass


class ToolOverUnixSocket(MemcachedTool, support.ServerCase):
    over_unix_socket = True


class Damemtop(support.ServerCase):
    CONF = """
delay: 0.2
mode: t
top_mode:
    sort_column: "hostname"
    sort_order: "asc"
    columns: [hostname, all_version, all_curr_items, all_limit_maxbytes, hit_rate, get_hits]
servers: [{servers}]
"""

    def screens(self, *servers):
        """What damemtop draws, a screen per round, until `q` ends it."""
        folder = tempfile.TemporaryDirectory(prefix="larder-damemtop-")
        self.addCleanup(folder.cleanup)
        os.mkdir(os.path.join(folder.name, ".damemtop"))
        with open(os.path.join(folder.name, ".damemtop", "damemtop.yaml"), "w") as file:
            file.write(self.CONF.format(servers=", ".join(f'"{server}"' for server in servers)))
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 160))
        environment = dict(os.environ, HOME=folder.name, TERM="xterm")
        process = subprocess.Popen([PERL, DAMEMTOP], stdin=theirs, stdout=theirs, stderr=theirs,
                                   env=environment, start_new_session=True)
        os.close(theirs)
        drawn = b""
        deadline = time.monotonic() + 20
        try:
            while drawn.count(b"TOTAL:") < 4 and time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    with contextlib.suppress(OSError):  # it ended, and nobody holds the other side
                        drawn += os.read(ours, 65536)
                        continue
                    break
            os.write(ours, b"q")
            process.wait(10)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(ours)
        self.assertEqual(process.returncode, 0, drawn)
        return drawn.decode().split("damemtop: ")[1:-1]  # the last one may be in the making

    def test_every_server_is_shown_with_its_figures(self):
        self.server.ask(b"set a 0 0 1\r\n1\r\n")
        with support.Server() as second:
            for number in range(3):
                second.ask(b"set k%d 0 0 1\r\n1\r\n" % number)
            screens = self.screens(self.server.address, second.address)
            self.assertGreaterEqual(len(screens), 3)
            for screen in screens:
                for server, items in ((self.server, 1), (second, 3)):
                    self.assertRegex(screen, re.escape(server.address)
                                     + rf" +1\.\d+\.\d+\S* +{items} +67,108,864 ")


if __name__ == "__main__":
    support.main()
