#!/usr/bin/env python3
"""`larder` in scripts: it reports every loss by its status, and leaves files and items alone.

Dumps that fail, nodes and items that cannot be read, output that is lost, text of servers that a
terminal would obey, keys that are read back, memory that cannot be had.

LARDER names the program, LARDERD the server, LARDER_FAULTS_LIBRARY the library of
tests/preload/faults.cc.
"""

import json
import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import termios
import threading
import unittest
from unittest import mock

import test_larder
from test_larder import LARDER, PATIENCE_SECONDS, larder
import support

OLD = b"GOOD BACKUP OF YESTERDAY"

# Control characters but line ends and tabs, and C1 as UTF-8: a terminal obeys them.
OBEYED = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def line_of_key(key):
    return b"key=%s exp=-1 la=1 cas=1 fetch=no cls=1 size=60\r\n" % key


def with_opaque(reply, opaques):
    """As servers repeat it: behind the flags of a meta reply."""
    line, end, rest = reply.partition(b"\r\n")
    if line.split(b" ")[0] not in (b"VA", b"HD", b"EN", b"NF", b"NS", b"EX"):
        return reply
    return b" ".join([line] + opaques) + end + rest


def value_behind(words, lines):
    """What follows the line of a command that stores, else None."""
    place = {b"ms": 2, b"add": 4}.get(words[0])
    return None if place is None else lines.read(int(words[place]) + 2)[:-2]


class FakeServer:
    """Accepts clients on a free port; serve(client) is called in a thread for each."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept)]
        self.clients = []
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            self.threads.append(threading.Thread(target=self.serve, args=(client,)))
            self.threads[-1].start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join()
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed
        for thread in self.threads[1:]:
            thread.join()
        for client in self.clients:
            client.close()


class Fake(FakeServer):
    """A server of meta and text commands: reply(words, value) gives its bytes, None closes.

    Bytes in a tuple are the last of a connection. The opaque of a request is not among the words, and
    is added to its reply. Knows the client's barriers by itself.
    """

    def __init__(self, reply):
        self.reply = reply
        super().__init__()

    def serve(self, client):
        try:
            with client, client.makefile("rb") as lines:
                for line in lines:
                    words = line.split()
                    if words == [b"mn"]:
                        client.sendall(b"MN\r\n")
                        continue
                    value = value_behind(words, lines)
                    opaques = [word for word in words[2:] if word.startswith(b"O")]
                    if words[:2] == [b"md", b"larder-barrier"]:
                        client.sendall(with_opaque(b"NF\r\n", opaques))
                        continue
                    answer = self.reply([word for word in words if word not in opaques], value)
                    if answer is None:
                        return
                    if isinstance(answer, tuple):
                        client.sendall(with_opaque(answer[0], opaques))
                        return
                    client.sendall(with_opaque(answer, opaques))
        except OSError:
            pass


class Endless(FakeServer):
    """Tells keys without an end. The value of each is x."""

    def serve(self, client):
        try:
            with client, client.makefile("rb") as lines:
                for line in lines:
                    words = line.split()
                    told = 0
                    while words[0] == b"lru_crawler":
                        client.sendall(b"".join(line_of_key(b"k%d" % number)
                                                for number in range(told, told + 1000)))
                        told += 1000
                    client.sendall(b"MN\r\n" if words[0] == b"mn" else with_opaque(
                        b"VA 1 f0 c1\r\nx\r\n", [word for word in words if word.startswith(b"O")]))
        except OSError:
            pass  # larder has left


def closed_pipe():
    """The end to write to, of which nobody reads. It is closed by the caller."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def parsed(dump, whole=True):
    """The items of a dump, which has its last line if it is whole: values by their keys."""
    first, rest = dump.split(b"\n", 1)
    assert first == b"larder-dump 1", first
    found = {}
    while rest and not rest.startswith(b"end "):
        head, rest = rest.split(b"\n", 1)
        key, value = (int(word) for word in head.split()[1:3])
        found[rest[:key]] = rest[key:key + value]
        rest = rest[key + value + 1:]
    assert rest == (b"end %d\n" % len(found) if whole else b""), rest
    return found


class Case(test_larder.FleetCase):
    def fake(self, reply):
        server = Fake(reply)
        self.addCleanup(server.stop)
        return server.address

    def dead(self):
        return f"127.0.0.1:{support.free_port()}"

    def set_old(self):
        path = self.path("items")
        with open(path, "wb") as file:
            file.write(OLD)
        return path

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def assert_old(self, path):
        """The file of yesterday is there, and nothing beside it."""
        self.assertEqual(self.content(path), OLD)
        self.assertEqual(os.listdir(self.folder.name), ["items"])


class DumpFiles(Case):
    def test_where_no_node_answers_the_file_of_before_stays(self):
        path = self.set_old()
        status, text, error = larder("dump", path, "--servers", self.dead())
        self.assertEqual((status, text), (4, b""))
        self.assertRegex(error, r"^larder: [^\n]+\n$")
        self.assert_old(path)

    def test_where_the_only_node_fails_in_the_middle_the_file_of_before_stays(self):
        def reply(words, _):
            if words[0] == b"lru_crawler":
                return (b"".join(line_of_key(b"k%d" % i) for i in range(200)),)
            return b"VA 1 f0 c1\r\nx\r\n"
        path = self.set_old()
        status, text, error = larder("dump", path, "--servers", self.fake(reply))
        self.assertEqual((status, text), (4, b""))
        self.assertIn("has closed the connection", error)
        self.assert_old(path)

    def test_a_whole_dump_takes_the_place_with_mode_0600(self):
        self.fill(20)
        path = self.set_old()
        os.chmod(path, 0o644)
        link = self.path("link")
        os.symlink("items", link)
        self.assertEqual(self.on_fleet("dump", link), (0, b"20 items\n", ""))
        self.assertEqual(len(parsed(self.content(path))), 20)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["items", "link"])

    def test_signals_leave_the_file_of_before(self):
        silent = self.fake(lambda words, value: line_of_key(b"a") if words[0] == b"lru_crawler" else b"")
        path = self.set_old()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                process = subprocess.Popen([LARDER, "dump", path, "--servers", silent,
                                            "--timeout", "1000"], stdin=subprocess.DEVNULL)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                support.wait_until(lambda: len(os.listdir(self.folder.name)) == 2, "a second file")
                self.assertEqual(self.content(path), OLD)
                process.send_signal(number)
                self.assertEqual(process.wait(PATIENCE_SECONDS), -number)
                self.assert_old(path)

    def test_a_file_that_cannot_grow_is_status_8_and_leaves_the_file_of_before(self):
        self.fill(300)
        path = self.set_old()

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        def dump(restore_signals):
            return subprocess.run([LARDER, "dump", path, "--servers", self.list],
                                  capture_output=True, preexec_fn=limit, check=False,
                                  restore_signals=restore_signals, timeout=PATIENCE_SECONDS)
        for restore_signals in (False, True):  # python ignores SIGXFSZ
            done = dump(restore_signals)
            self.assertEqual((done.returncode, done.stdout), (8, b""))
            self.assertEqual(done.stderr.decode(),
                             f"larder: '{path}' cannot be written: File too large\n")
            self.assert_old(path)

    def test_what_is_no_file_to_replace_is_written_directly(self):
        self.fill(5)
        path = self.path("fifo")
        os.mkfifo(path)
        found = []
        reader = threading.Thread(target=lambda: found.append(self.content(path)))
        reader.start()
        self.assertEqual(self.on_fleet("dump", path), (0, b"5 items\n", ""))
        reader.join()
        self.assertEqual(len(parsed(found[0])), 5)
        self.assertTrue(stat.S_ISFIFO(os.stat(path).st_mode))
        with open(self.path("items"), "w+b") as file:
            done = subprocess.run([LARDER, "dump", "/dev/stdout", "--servers", self.list],
                                  stdout=file, check=False, timeout=PATIENCE_SECONDS)
            self.assertEqual(done.returncode, 0)
            file.seek(0)
            self.assertEqual(len(parsed(file.read())), 5)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["fifo", "items"])
        status, _, error = self.on_fleet("dump", self.folder.name)
        self.assertEqual(status, 1)
        self.assertIn("cannot be opened: Is a directory", error)


class Faults(Case):
    """One key, value or node does not end a dump, a load or a copy."""

    UNSAYABLE = b"long key " + b"x" * 200

    def set_unsayable(self, server):
        """In binary: meta has at most 186 bytes of a key with a blank."""
        key = self.UNSAYABLE
        head = struct.pack(">BBHBBHIIQ", 0x80, 0x01, len(key), 8, 0, 0, 8 + len(key) + 1, 0, 0)
        with server.connect() as plain:
            plain.sendall(head + bytes(8) + key + b"v")
            reply = plain.recv(24, socket.MSG_WAITALL)
        self.assertEqual(reply[6:8], b"\0\0", reply)
        # The emptying of servers has no way to say it, either.
        self.addCleanup(larder, "delete", key, "--dialect", "binary", "--servers", server.address)

    def test_a_key_that_cannot_be_said_is_named_and_left_out(self):
        keys = self.fill(100)
        for server in self.servers:
            self.set_unsayable(server)
        with support.Server() as target:
            copy = ["copy", "--from", self.list, "--to", target.address]
            for words in (["dump", self.path("items"), "--servers", self.list], copy):
                status, text, error = larder(*words)
                self.assertEqual(status, 6, error)
                self.assertEqual(error.count("'long%20keyxxx"), 0)
                self.assertEqual(error.count("'long%20key%20xxx"), 3)
                self.assertEqual(error.count("\n"), 3)
            self.assertTrue(text.startswith(b"100 stored"), text)
        found = parsed(self.content(self.path("items")))
        self.assertEqual(sorted(found), sorted(key.encode() for key in keys))

    def test_a_value_that_is_too_large_is_named_and_left_out(self):
        keys = [b"k%d" % i for i in range(10)]

        def reply(words, _):
            if words[0] == b"lru_crawler":
                return b"".join(map(line_of_key, keys)) + b"END\r\n"
            return b"VA 70000000 f0 c1\r\n" if words[1] == b"k4" else b"VA 1 f0 c1\r\nx\r\n"
        server = self.fake(reply)
        status, text, error = larder("dump", self.path("items"), "--servers", server, "--json")
        self.assertEqual(status, 6)
        self.assertEqual(json.loads(text),
                         {"items": 9, "stale": 0, "being_computed": 0, "unreadable": 1})
        self.assertRegex(error, r"^larder: 'k4' cannot be read: [^\n]*70000000 bytes[^\n]*\n$")
        self.assertEqual(sorted(parsed(self.content(self.path("items")))),
                         [key for key in keys if key != b"k4"])

    def test_a_key_at_which_a_server_hangs_up_is_named_and_left_out(self):
        def reply(words, _):
            if words[0] == b"lru_crawler":
                return b"".join(map(line_of_key, (b"a", b"b", b"c"))) + b"END\r\n"
            return None if words[1] == b"b" else b"VA 1 f0 c1\r\nx\r\n"
        status, text, error = larder("dump", "--servers", self.fake(reply))
        self.assertEqual((status, sorted(parsed(text))), (6, [b"a", b"c"]))
        self.assertIn("'b' cannot be read: ", error)

    def test_what_never_replies_as_a_cache_is_given_up(self):
        def reply(words, _):
            if words[0] == b"lru_crawler":
                return b"".join(line_of_key(b"k%d" % i) for i in range(1000)) + b"END\r\n"
            return b"HTTP/1.1 400 Bad Request\r\n"
        status, _, error = larder("dump", self.path("items"), "--servers", self.fake(reply))
        self.assertEqual(status, 6)
        self.assertLess(error.count("\n"), 15)

    def test_lines_of_a_dump_that_name_no_key_are_told(self):
        lines = [b"key=b%ZZ exp=-1 la=1 size=60", b"key=c exp=99999999999999999999 la=1 size=6",
                 b"key=d exp=-1 la=1 size=-5", b"key=", b"non\x1bsense"]

        def reply(words, _):
            if words[0] == b"lru_crawler":
                return line_of_key(b"a") + b"\r\n".join(lines) + b"\r\nEND\r\n"
            return b"VA 1 f0 c1\r\nx\r\n"
        for words, printed in (("dump", b"larder-dump 1\n"), ("keys", b"a\n")):
            with self.subTest(words):
                status, text, error = larder(words, "--servers", self.fake(reply))
                self.assertEqual(status, 6)
                self.assertTrue(text.startswith(printed), text)
                self.assertIn("told 5 lines that cannot be read as a key: 'key=b%ZZ exp", error)

    def test_a_dead_node_does_not_end_a_dump_or_a_copy(self):
        self.fill(300)
        whole = parsed(self.on_fleet("dump")[1])
        nodes = [self.nodes[0], self.dead(), self.nodes[1], self.nodes[2]]
        path = self.path("items")
        status, text, error = larder("dump", path, "--servers", ",".join(nodes))
        self.assertEqual((status, text), (4, b"300 items\n"))
        self.assertRegex(error, rf"^larder: [^\n]*{nodes[1]}[^\n]*\n$")
        self.assertEqual(parsed(self.content(path), whole=False), whole)
        with support.Server() as target:
            status, text, error = larder("load", path, "--servers", target.address)
            self.assertEqual((status, text.split()[:2]), (1, [b"300", b"stored,"]))
            self.assertIn("is cut short behind item 300", error)
        with support.Server() as target:
            status, text, _ = larder("copy", "--from", ",".join(nodes), "--to", target.address)
            self.assertEqual(status, 4)
            self.assertTrue(text.startswith(b"300 stored, "), text)

    def test_a_dead_target_costs_its_own_items(self):
        self.fill(600)
        path = self.path("items")
        self.on_fleet("dump", path)
        dead = self.dead()
        for words in (["load", path, "--servers"], ["copy", "--from", self.list, "--to"]):
            with self.subTest(words=words), support.Server() as living:
                status, text, error = larder(*words, living.address + "," + dead, "--json")
                counts = json.loads(text)
                self.assertEqual(status, 4)
                self.assertRegex(error, rf"^larder: [^\n]*{dead}[^\n]*\n$")
                self.assertEqual(counts["stored"] + counts["unreached"], 600)
                self.assertEqual(int(living.stat("curr_items")), counts["stored"])
                self.assertGreater(counts["stored"], 100)
                self.assertGreater(counts["unreached"], 100)

    def test_what_a_load_gives_up_is_counted_or_told(self):
        dump = b"larder-dump 1\n" + b"".join(
            b"item %d 1 0 0\nk%dv\n" % (len(b"k%d" % i), i) for i in range(700)) + b"end 700\n"
        path = os.path.join(self.folder.name, "items")
        with open(path, "wb") as file:
            file.write(dump)
        load = ("load", "--json", "--servers", self.dead())
        status, text, error = larder(*load, path)
        self.assertEqual((status, json.loads(text)["unreached"]), (4, 700))
        self.assertNotIn("was not read", error)
        status, text, error = larder(*load, stdin=dump)
        self.assertEqual((status, json.loads(text)["unreached"]), (4, 3 * 128))
        self.assertIn("the rest of '-' was not read, and is not in the counts", error)

    def test_an_item_that_a_server_refuses_in_the_middle_does_not_end_a_load(self):
        stored = {}

        def reply(words, value):
            if words[1] == b"k50":
                return b"CLIENT_ERROR not this one\r\n"
            stored[words[1]] = value
            return b"HD c1\r\n"
        items = b"".join(b"item %d 1 0 0\nk%dv\n" % (len(b"k%d" % i), i) for i in range(100))
        status, text, error = larder("load", "--servers", self.fake(reply),
                                     stdin=b"larder-dump 1\n" + items + b"end 100\n")
        self.assertEqual((status, text), (6, b"99 stored, 0 were there, 0 expired, 1 refused\n"))
        self.assertIn("not this one", error)
        self.assertEqual(len(stored), 99)


class Wins(Case):
    """Items that are stale, or that a client computes, are no values for others."""

    def prepare(self, server):
        for key in (b"fresh", b"old", b"for-ever", b"won", b"placeholder"):
            server.ask(b"md %s\r\n" % key)
        for request, reply in ((b"ms fresh 5 T500\r\nvalue\r\n", b"HD\r\n"),
                               (b"ms old 3 T500\r\nOLD\r\n", b"HD\r\n"),
                               (b"md old I T500\r\n", b"HD\r\n"),
                               (b"ms for-ever 3\r\nOLD\r\n", b"HD\r\n"),
                               (b"md for-ever I\r\n", b"HD\r\n"),
                               (b"ms won 3 T500\r\nOLD\r\n", b"HD\r\n"),
                               (b"md won I T500\r\n", b"HD\r\n")):
            self.assertEqual(server.ask(request), reply)
        self.assertIn(b" W", server.ask(b"mg won s\r\n"))
        self.assertIn(b" W", server.ask(b"mg placeholder s N300\r\n"))

    def assert_untouched(self, server):
        """The stale items are to be won, by one, and live as long as before."""
        flags = server.ask(b"mg old t\r\n").split()[1:]
        self.assertEqual(sorted(flags[1:]), [b"W", b"X"])
        self.assertAlmostEqual(int(flags[0][1:]), 500, delta=100)
        self.assertEqual(sorted(server.ask(b"mg old s\r\n").split()[2:]), [b"X", b"Z"])
        self.assertEqual(sorted(server.ask(b"mg for-ever t\r\n").split()[1:]), [b"W", b"X", b"t-1"])
        self.assertEqual(sorted(server.ask(b"mg won s\r\n").split()[2:]), [b"X", b"Z"])

    def test_dump_and_copy_leave_them_out_and_take_no_win(self):
        for server in (self.servers[0], self.servers[2]):
            with self.subTest(server=server.arguments[0]):
                self.empty_all()
                self.prepare(server)
                status, text, error = larder("dump", "--servers", server.address)
                self.assertEqual((status, parsed(text)), (0, {b"fresh": b"value"}))
                self.assertEqual(error, "larder: 3 stale items and 1 unfinished item were left out\n")
                self.assert_untouched(server)
                self.prepare(server)
                with support.Server() as target:
                    copied = larder("copy", "--from", server.address, "--to", target.address)
                    self.assertEqual(copied, (0, b"1 stored, 0 were there, 0 expired, 0 refused; "
                                                 b"3 stale items and 1 unfinished item were left out\n",
                                              ""))
                    for key in (b"old", b"for-ever", b"won", b"placeholder"):
                        self.assertEqual(target.ask(b"mg %s v\r\n" % key), b"EN\r\n")
                self.assert_untouched(server)

    def test_get_shows_them_and_takes_no_win(self):
        for server in (self.servers[0], self.servers[2]):
            with self.subTest(server=server.arguments[0]):
                self.empty_all()
                self.prepare(server)
                status, text, error = larder("get", "old", "for-ever", "fresh", "--json",
                                             "--servers", server.address)
                self.assertEqual((status, error), (0, ""))
                self.assertEqual([(one["value"], one["stale"]) for one in json.loads(text)],
                                 [("OLD", True), ("OLD", True), ("value", False)])
                self.assert_untouched(server)
                self.prepare(server)
                for key, seconds in (("old", "500"), ("for-ever", "0")):
                    self.assertEqual(larder("gat", seconds, key, "--servers", server.address),
                                     (0, b"OLD\n", ""))
                self.assert_untouched(server)

    def test_a_value_that_is_stored_meanwhile_stays_fresh(self):
        # The fake answers like a server on which the item is stored anew between the two requests.
        seen = []

        def reply(words, _):
            seen.append(words)
            if words[0] == b"lru_crawler":
                return line_of_key(b"a") + b"END\r\n"
            return b"VA 1 f0 c77 X W\r\nx\r\n" if words[0] == b"mg" else b"EX\r\n"
        self.assertEqual(larder("dump", "--servers", self.fake(reply))[0], 0)
        self.assertEqual(seen[-1][:2], [b"md", b"a"])
        self.assertEqual(sorted(seen[-1][2:]), [b"C77", b"I"])

    def test_a_touch_meanwhile_stays(self):
        for server in (self.servers[0], self.servers[2]):
            for words in (["dump"], ["get", "k"]):
                with self.subTest(server=server.arguments[0], words=words):
                    self.empty_all()
                    self.assertEqual(server.ask(b"ms k 3 T50\r\nOLD\r\n"), b"HD\r\n")
                    self.assertEqual(server.ask(b"md k I\r\n"), b"HD\r\n")

                    def reply(words, _, server=server):
                        request = b" ".join(words) + b"\r\n"
                        if words[0] == b"lru_crawler":
                            return self.all_keys_of(server)
                        if words[0] != b"mg":
                            return server.ask(request)
                        self.assertEqual(server.ask(b"touch k 5000\r\n"), b"TOUCHED\r\n")
                        return server.ask(request, b"OLD\r\n")
                    self.assertEqual(larder(*words, "--servers", self.fake(reply))[0], 0)
                    flags = sorted(server.ask(b"mg k t\r\n").split()[1:])
                    self.assertEqual(flags[:2], [b"W", b"X"])
                    self.assertGreater(int(flags[2][1:]), 4000)


class Output(Case):
    """Lost output is a status of its own, for every subcommand."""

    def everything(self):
        where = ["--servers", self.list]
        self.on_fleet("set", "k", "v")
        self.on_fleet("set", "n", "1")
        return [
            ["get", "k", *where], ["get", "k", "--raw", *where], ["get", "k", "nothing", *where],
            ["set", "k", "v", "--json", *where], ["add", "new", "v", "--json", *where],
            ["replace", "k", "v", "--json", *where], ["incr", "n", *where], ["decr", "n", *where],
            ["touch", "k", 9, "--json", *where], ["gat", 9, "k", *where],
            ["delete", "new", "--json", *where], ["version", *where], ["ping", *where],
            ["stats", *where], ["slabs", *where], ["keys", *where], ["keys", "--json", *where],
            ["dump", *where], ["load", *where], ["copy", "--from", self.nodes[0], "--to", self.nodes[0]],
            ["check", *where], ["top", "--interval", "0.1", *where], ["where", "k", *where],
            ["where", "k", "--json", *where], ["ring", "--keys", 1000, *where], ["ring", "--list"],
            ["flush", "--json", *where], ["--help"], ["get", "--help"],
        ]

    def test_on_a_full_device_every_subcommand_ends_with_8(self):
        for words in self.everything():
            with self.subTest(words=words), open("/dev/full", "wb") as full:
                done = subprocess.run([LARDER, *map(str, words)], stdin=subprocess.PIPE,
                                      input=None, stdout=full, stderr=subprocess.PIPE,
                                      timeout=PATIENCE_SECONDS, check=False)
                self.assertEqual(done.returncode, 8, done.stderr)
                self.assertIn(b"No space left on device" if words[0] == "dump" else
                              b"larder: standard output cannot be written", done.stderr)

    def run_closed(self, words, **closed):
        """larder with streams that are pipes that nobody reads."""
        writer = closed_pipe()
        try:
            return subprocess.run(
                [LARDER, *map(str, words)], stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS,
                check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                **{name: writer for name in closed}})
        finally:
            os.close(writer)

    def test_on_a_closed_pipe_every_subcommand_ends_with_8(self):
        for words in self.everything():
            with self.subTest(words=words):
                done = self.run_closed(words, stdout=True)
                self.assertEqual(done.returncode, 8, done.stderr)
                self.assertIn(b"cannot be written", done.stderr)

    def test_a_reader_that_leaves_ends_a_long_command(self):
        server = Endless()
        self.addCleanup(server.stop)
        for words in (["keys"], ["keys", "--long"], ["keys", "--json"], ["dump"]):
            with self.subTest(words=words):
                process = subprocess.Popen(
                    [LARDER, *words, "--servers", f"{server.address},{self.list}"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                self.assertTrue(process.stdout.readline())
                process.stdout.close()
                process.stdout = None
                _, error = process.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(process.returncode, 8, error)
                self.assertIn(b"cannot be written", error)

    def test_complaints_that_nobody_reads_change_no_status(self):
        self.fill(20)
        path = self.path("items")
        for words, status in ((["dump", path, "--servers", f"{self.list},{self.dead()}"], 4),
                              (["get", "nothing", "--servers", self.list], 3),
                              (["get", "nothing", "--servers", "a b"], 1)):
            with self.subTest(words=words):
                self.assertEqual(self.run_closed(words, stderr=True).returncode, status)
        self.assertEqual(os.listdir(self.folder.name), ["items"])
        self.assertEqual(len(parsed(self.content(path), whole=False)), 20)
        words = ["get", "key:1", "nothing", "--servers", self.list]
        self.assertEqual(self.run_closed(words, stdout=True, stderr=True).returncode, 8)

    def test_much_output_is_lost_too(self):
        self.on_fleet("set", "big", "-", stdin=b"x" * 100_000)
        for words in (["get", "big", "--raw"], ["get", "nothing", "big"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([LARDER, *words, "--servers", self.list], stdout=full,
                                      stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=False)
            self.assertEqual(done.returncode, 8)
            self.assertIn(b"standard output cannot be written", done.stderr)

    def test_with_standard_output_closed_nothing_goes_to_a_server(self):
        # More than is buffered, so that it is written while the connection is there.
        value = b"delete k noreply\r\n" * 1000
        self.on_fleet("set", "k", "-", stdin=value)
        done = subprocess.run(["sh", "-c", 'exec "$0" get k --raw --servers "$1" >&-', LARDER,
                               self.list],
                              stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertEqual(self.on_fleet("get", "k", "--raw"), (0, value, ""))


class Escapes(Case):
    EVIL = b"\x1b]0;PWNED\x07\x1b[31mred\xc2\x9b31m"

    def reply(self, words, _):
        if words[0] == b"version":
            return b"VERSION 1.6 " + self.EVIL + b"\r\n"
        if words[0] in (b"mg", b"ms", b"md", b"ma"):
            return b"SERVER_ERROR " + self.EVIL + b"\r\n"
        if words[0] == b"stats":
            return (b"STAT version " + self.EVIL + b"\r\nSTAT " + self.EVIL + b" 1\r\nSTAT 1:" +
                    self.EVIL + b" 3\r\nSTAT " + self.EVIL + b":count 5\r\nEND\r\n")
        if words[0] == b"lru_crawler":
            return line_of_key(b"a%C2%9B31mC1%1B%9B") + b"END\r\n"
        return b"ERROR\r\n"

    def test_nothing_that_a_server_says_reaches_a_terminal(self):
        server = self.fake(self.reply)
        for words in (["version"], ["stats"], ["slabs"], ["check"], ["get", "k"], ["set", "k", "v"],
                      ["delete", "k"], ["incr", "k"], ["keys"], ["keys", "--long"],
                      ["dump", self.path("items")], ["top", "--interval", "0.1"],
                      ["flush"], ["ping"]):
            for more in ([], ["--json"]):
                with self.subTest(words=words + more):
                    _, text, error = larder(*words, *more, "--servers", server)
                    self.assertIsNone(OBEYED.search(text), text)
                    self.assertIsNone(OBEYED.search(error.encode()), error)
        self.assertIn(b"%1B]0;PWNED%07%1B[31mred%C2%9B31m", larder("version", "--servers", server)[1])

    def test_nothing_that_an_item_has_does(self):
        key = "a\x1b[31m\u009b"
        self.on_fleet("set", key, "-", stdin=b"red\x1b[31m\xc2\x9b\n\ttext\xed\x95\x9c\x9b")
        status, text, _ = self.on_fleet("get", key)
        self.assertEqual((status, text), (0, b"red%1B[31m%C2%9B\n\ttext\xed\x95\x9c%9B\n"))
        self.on_fleet("delete", key)
        for words in (["get", key], ["delete", key], ["where", key], ["get", key, "--json"]):
            _, text, error = self.on_fleet(*words)
            self.assertIsNone(OBEYED.search(text), text)
            self.assertIsNone(OBEYED.search(error.encode()), error)


class ReadBack(Case):
    KEYS = ("a b", "a%20b", "-x", "it's", 'say "so"', "back\\slash", "\u00e9", "tab\tnewline\n",
            "100%", "%41", "A")

    def test_keys_are_read_back(self):
        for key in self.KEYS:
            self.assertEqual(larder("set", "--servers", self.list, "--", key, key)[0], 0)
        lines = self.on_fleet("keys")[1].decode().split("\n")[:-1]
        self.assertEqual(len(lines), len(self.KEYS))
        for line in lines:
            status, text, _ = self.on_fleet("get", line, "--encoded", "--raw")
            self.assertEqual(status, 0, line)
            self.assertIn(text.decode(), self.KEYS)
            self.assertEqual(self.on_fleet("where", line, "--encoded")[1].decode().split()[0], line)
        self.on_fleet("delete", "a%20b", "--encoded")
        self.assertEqual(self.on_fleet("get", "a b")[0], 3)
        self.assertEqual(self.on_fleet("get", "a%20b")[0], 0)
        done = subprocess.run(["sh", "-c", '"$0" keys --servers "$1" | xargs "$0" delete --encoded '
                                           '--servers "$1"', LARDER, self.list],
                              capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertEqual(self.on_fleet("keys")[1], b"")

    def test_pages_and_prefixes_are_read_back(self):
        for key in self.KEYS:
            larder("set", "--servers", self.list, "--", key, "v")
        lines = self.on_fleet("keys")[1].decode().split("\n")[:-1]
        for number, line in enumerate(lines):
            status, text, _ = self.on_fleet("keys", "--encoded", "--after", line)
            self.assertEqual((status, text.decode().split("\n")[:-1]), (0, lines[number + 1:]))
        self.assertEqual(self.on_fleet("keys", "--prefix", "a%20", "--encoded")[1], b"a%20b\n")
        self.assertEqual(self.on_fleet("keys", "--prefix", "a%20")[1], b"a%2520b\n")
        status, _, error = self.on_fleet("keys", "--after", "a%2520b")
        self.assertEqual(status, 3)
        self.assertIn("--encoded", error)

    def test_every_subcommand_with_keys_reads_them(self):
        for words in (["set", "a%20b", "1"], ["replace", "a%20b", "2"], ["get", "a%20b"],
                      ["incr", "a%20b"], ["decr", "a%20b"], ["touch", "a%20b", 100],
                      ["gat", 100, "a%20b"], ["delete", "a%20b"], ["add", "a%20b", "3"]):
            self.assertEqual(self.on_fleet(*words, "--encoded")[0], 0, words)
        self.assertEqual(self.on_fleet("get", "a b")[1], b"3\n")
        for words in (["get", "%"], ["set", "a%2", "v"], ["keys", "--prefix", "%zz"],
                      ["keys", "--after", "%"], ["where", "%g0"], ["dump", "--prefix", "%"]):
            status, text, error = self.on_fleet(*words, "--encoded")
            self.assertEqual((status, text), (1, b""))
            self.assertIn("two hexadecimal digits", error)


class Descriptors(Case):
    """Without descriptors for all connections every command ends with 9."""

    def test_every_command_that_asks_several_nodes_ends_with_9(self):
        self.fill(20)
        path = self.path("items")
        for words in (["get", *("key:%d" % i for i in range(20))], ["stats"], ["slabs"],
                      ["version"], ["keys"], ["check"], ["check", "--json"], ["dump", path],
                      ["top", "--interval", "0.1"], ["flush"]):
            with self.subTest(words=words):
                # One is left, which the loader of libraries needs, too.
                done = subprocess.run(
                    ["sh", "-c", 'ulimit -n 4; exec "$0" "$@"', LARDER, *words,
                     "--servers", self.list],
                    check=False, capture_output=True, timeout=PATIENCE_SECONDS)
                self.assertEqual(done.returncode, 9, done)
                self.assertIn(b"Too many open files", done.stdout + done.stderr)

    def test_a_target_of_copy_whose_watch_has_none_is_named(self):
        with support.Server() as target:
            # None is left to end the watch by.
            done = subprocess.run(
                ["sh", "-c", 'ulimit -n 5; exec "$0" "$@"', LARDER, "copy", "--from", self.list,
                 "--to", target.address],
                check=False, capture_output=True, timeout=PATIENCE_SECONDS)
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (9, f"larder: {target.address}: no descriptors\n"))


class FaultsCase(Case):
    """The environment makes an allocation of a program fail."""

    def setUp(self):
        super().setUp()
        self.control = self.path("faults")
        with open(self.control, "wb") as file:
            file.write(bytes(36))
        self.environment = dict(os.environ, LD_PRELOAD=os.environ["LARDER_FAULTS_LIBRARY"],
                                LARDER_FAULTS=self.control)

    def fail_allocation(self, number, more=0):
        # A program that runs has mapped it, so that it must not get shorter.
        with open(self.control, "r+b") as file:
            file.write(struct.pack("<9i", 0, 0, 0, number, 0, 0, 0, 0, more))

    def failed(self):
        with open(self.control, "rb") as file:
            return struct.unpack("<9i", file.read())[4] > 0


class Memory(FaultsCase):
    """An allocation that fails ends the command with a status, and the terminal as it was."""

    STEP = 3  # of the allocations that fail, one a run

    def allocations_of_parsing(self):
        """Before the command begins: the library that parses options has functions that end the
        program when memory is out."""
        self.fail_allocation(1_000_000)
        subprocess.run([LARDER, "where", "key:1", "key:2", "--servers", self.list], check=True,
                       stdout=subprocess.DEVNULL, env=self.environment)
        with open(self.control, "rb") as file:
            return 1_000_000 - struct.unpack("<9i", file.read())[3]

    def test_no_command_aborts(self):
        self.fill(20)
        first = self.allocations_of_parsing() + 50
        path = self.path("items")
        ended = set()
        for words in (["get", "key:1", "key:2"], ["stats"], ["keys"], ["dump", path],
                      ["check"], ["get", "\x1b"]):
            number = first
            while True:
                self.fail_allocation(number)
                done = subprocess.run([LARDER, *words, "--servers", self.list], check=False,
                                      capture_output=True, env=self.environment,
                                      timeout=PATIENCE_SECONDS)
                if not self.failed():
                    break
                self.assertGreaterEqual(done.returncode, 0, (words, number, done.stderr))
                ended.add(done.returncode)
                self.assertEqual([name for name in os.listdir(self.folder.name)
                                  if name.endswith(".part")], [])
                number += self.STEP
        self.assertIn(9, ended)

    def test_json_without_memory_is_status_9(self):
        words = ["stats", "--json", "--servers", self.servers[0].address]
        self.fail_allocation(1_000_000)
        subprocess.run([LARDER, *words], check=True, stdout=subprocess.DEVNULL, env=self.environment)
        with open(self.control, "rb") as file:
            total = 1_000_000 - struct.unpack("<9i", file.read())[3]
        ended = set()
        for number in range(total - 200, total, 4):
            self.fail_allocation(number)
            done = subprocess.run([LARDER, *words], check=False, capture_output=True,
                                  env=self.environment, timeout=PATIENCE_SECONDS)
            ended.add(done.returncode)
            if done.returncode != 0:
                self.assertRegex(done.stderr, rb"^larder: [^\n]+\n$")
        self.assertLessEqual(ended, {0, 9})
        self.assertIn(9, ended)

    def test_top_gives_the_terminal_back(self):
        for number in (1, 2, 5, 13, 40, 100):
            with self.subTest(number=number):
                self.fail_allocation(0)
                with mock.patch.dict(os.environ, self.environment):
                    screen = test_larder.Screen("--servers", self.list, "--interval", "0.1")
                self.addCleanup(screen.close)
                screen.read_until(lambda seen: seen.count(b"\x1b[J") >= 2)
                self.fail_allocation(number)
                self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 9)
                screen.read_until(lambda seen: b"\x1b[?25h\x1b[?1049l" in seen)
                self.assertEqual(termios.tcgetattr(screen.secondary), screen.before)


class Top(Case):
    def screen(self, *words):
        screen = test_larder.Screen(*words)
        self.addCleanup(screen.close)
        return screen

    def test_keys_and_signals_are_answered_while_a_node_is_silent(self):
        silent = self.fake(lambda words, value: b"")
        for end in (b"q", b"\x03", signal.SIGTERM, signal.SIGINT):
            with self.subTest(end=end):
                screen = self.screen("--servers", self.nodes[0] + "," + silent, "--timeout", "80000")
                screen.read_until(lambda seen: b"\x1b[J" in seen)
                if isinstance(end, bytes):
                    os.write(screen.primary, end)
                    self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 0)
                else:
                    screen.process.send_signal(end)
                    self.assertEqual(screen.process.wait(PATIENCE_SECONDS), -end)
                screen.read_until(lambda seen: seen.endswith(b"\x1b[?25h\x1b[?1049l"))
                self.assertEqual(termios.tcgetattr(screen.secondary), screen.before)

    def test_a_connection_that_the_server_has_closed_is_made_anew(self):
        def reply(words, _):
            # Hangs up behind the second of the two requests of a sample.
            return b"STAT cmd_get 1\r\nEND\r\n" if words == [b"stats"] else (b"END\r\n",)
        server = self.fake(reply)
        status, text, _ = larder("top", "--once", "--json", "--interval", "0.2", "--servers", server)
        self.assertEqual(status, 0, text)
        self.assertNotIn("error", json.loads(text)[0])


if __name__ == "__main__":
    support.main()
