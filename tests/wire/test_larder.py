#!/usr/bin/env python3
"""`larder` and the servers that it asks: two of ours, memcached, and some that do not answer well.

LARDER names the program, LARDERD the server.
"""

import base64
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import support  # noqa: E402

LARDER = support.larder_program()
MEMCACHED = support.need_program("memcached", "memcached")
PATIENCE_SECONDS = 60

# memcached takes 250 bytes of base64.
LONG_KEY = bytes(range(186))


def larder(*words, stdin=b"", **environment):
    """Exit status, standard output as bytes, and standard error."""
    words = [word if isinstance(word, bytes) else str(word) for word in words]
    done = subprocess.run([LARDER, *words], input=stdin, capture_output=True,
                          timeout=PATIENCE_SECONDS, check=False,
                          env=dict(os.environ, **environment))
    return done.returncode, done.stdout, done.stderr.decode()


class Liar:
    """A server that says `reply` to whatever comes, or nothing, and keeps the connection."""

    def __init__(self, reply):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.reply = reply
        self.held = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(client)
            if self.reply:
                client.recv(65536)
                client.sendall(self.reply)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for client in self.held:
            client.close()


def start_by_hand(add_cleanup, *options):
    """The address of a server that is not spoken to in the clear, or not without a login."""
    port = support.free_port()
    as_root = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [*support.server_command(), *as_root, "-l", "127.0.0.1", "-p", str(port), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    add_cleanup(process.wait)
    add_cleanup(process.terminate)
    support.wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close() is None,
                       "a connection")
    return f"127.0.0.1:{port}"


class FleetCase(unittest.TestCase):
    """Two larderds and a memcached, empty before each test."""

    @classmethod
    def setUpClass(cls):
        cls.servers = []
        for options in ({}, {}, {"command": [MEMCACHED]}):
            server = support.Server(**options)
            cls.addClassCleanup(server.stop)
            cls.servers.append(server)
        cls.nodes = [server.address for server in cls.servers]
        cls.list = ",".join(cls.nodes)

    def setUp(self):
        self.empty_all()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def empty_all(self):
        """flush_all spares what memcached is given in the same second, so items are deleted."""
        for server in self.servers:
            for key in self.all_keys_of(server).split(b"\n"):
                if key.startswith(b"key="):
                    name = key.split()[0][4:]
                    raw = b"".join(
                        bytes([int(part[:2], 16)]) + part[2:] if i else part
                        for i, part in enumerate(name.split(b"%")))
                    self.assertIn(server.ask(b"md %s b\r\n" % base64.b64encode(raw)),
                                  (b"HD\r\n", b"NF\r\n"))

    @staticmethod
    def all_keys_of(server):
        """A dump; memcached may have begun a walk of its own, and refuses until that has ended."""
        ends = (b"END\r\n", b"BUSY currently processing crawler request\r\n")
        dump = []

        def ended():
            dump[:] = [server.ask(b"lru_crawler metadump all\r\n", ends)]
            return dump[0].endswith(ends[0])
        support.wait_until(ended, "the end of another walk")
        return dump[0]

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def on_fleet(self, command, *words, **more):
        return larder(command, *words, "--servers", self.list, **more)

    def json_of(self, command, *words, status=0):
        found, text, error = self.on_fleet(command, *words, "--json")
        self.assertEqual(found, status, error)
        return json.loads(text)

    def node_of(self, key):
        status, text, _ = larder("where", key, "--servers", self.list)
        self.assertEqual(status, 0)
        return text.decode().split()[1]

    def fill(self, count=300):
        """Items of which each server has some; their keys."""
        text = "larder-dump 1\n"
        keys = [f"key:{number}" for number in range(count)]
        for number, key in enumerate(keys):
            value = str(number) * 10
            text += f"item {len(key)} {len(value)} {number} 0\n{key}{value}\n"
        text += f"end {count}\n"
        self.assertEqual(self.on_fleet("load", stdin=text.encode())[0], 0)
        return keys


class Items(FleetCase):
    def test_a_value_comes_back_from_the_node_of_its_key(self):
        for key in ("one", "two", "three", "four"):
            self.assertEqual(self.on_fleet("set", key, "v-" + key, "--flags", 7), (0, b"", ""))
            node = self.node_of(key)
            server = self.servers[self.nodes.index(node)]
            value = f"v-{key}".encode()
            self.assertEqual(server.ask(f"get {key}\r\n".encode(), b"END\r\n"),
                             b"VALUE %s 7 %d\r\n%s\r\nEND\r\n" % (key.encode(), len(value), value))
        self.assertEqual(self.on_fleet("get", "one", "two"), (0, b"v-one\nv-two\n", ""))
        one = self.json_of("get", "three")[0]
        self.assertEqual((one["key"], one["node"], one["outcome"], one["value"], one["flags"]),
                         ("three", self.node_of("three"), "done", "v-three", 7))

    def test_any_bytes_go_through_standard_input_and_output(self):
        value = support.ALL_BYTES * 100
        self.assertEqual(self.on_fleet("set", "k", "-", stdin=value), (0, b"", ""))
        self.assertEqual(self.on_fleet("get", "k", "--raw"), (0, value, ""))
        self.assertEqual(self.on_fleet("set", "k", stdin=b"without a dash")[0], 0)
        self.assertEqual(self.on_fleet("get", "k", "--raw")[1], b"without a dash")
        self.on_fleet("set", "k", "-", stdin=b"\xff")
        self.assertEqual(base64.b64decode(self.json_of("get", "k")[0]["value_base64"]), b"\xff")

    def test_what_is_missing_or_there_is_status_3(self):
        node = self.node_of("k")
        missing = f"larder: 'k' is not on {node}\n"
        for words in (["get", "k"], ["delete", "k"], ["touch", "k", 5], ["gat", 5, "k"],
                      ["incr", "k"], ["decr", "k"], ["replace", "k", "v"]):
            with self.subTest(words=words):
                self.assertEqual(self.on_fleet(*words), (3, b"", missing))
        self.assertEqual(self.on_fleet("add", "k", "v"), (0, b"", ""))
        self.assertEqual(self.on_fleet("add", "k", "w"),
                         (3, b"", f"larder: 'k' is already on {node}\n"))
        self.assertEqual(self.on_fleet("replace", "k", "x"), (0, b"", ""))
        self.assertEqual(self.on_fleet("get", "k", "nothing")[:2], (3, b"x\n"))
        self.assertEqual(self.json_of("get", "nothing", status=3)[0]["outcome"], "missing")
        self.assertEqual(self.on_fleet("delete", "k"), (0, b"", ""))
        self.assertEqual(self.on_fleet("get", "k")[0], 3)

    def test_a_key_that_no_server_takes_is_bad_input(self):
        self.assertEqual(self.on_fleet("get", "k" * 251)[0], 1)
        self.assertEqual(self.on_fleet("get", "")[0], 1)
        self.assertEqual(self.on_fleet("get", "a b", "--dialect", "classic")[0], 1)
        self.assertEqual(self.on_fleet("set", "a b", "blank"), (0, b"", ""))
        self.assertEqual(self.on_fleet("get", "a b"), (0, b"blank\n", ""))

    def test_counters_count(self):
        self.assertEqual(self.on_fleet("incr", "n", "--initial", 40), (0, b"40\n", ""))
        self.assertEqual(self.on_fleet("incr", "n", 3), (0, b"43\n", ""))
        self.assertEqual(self.on_fleet("decr", "n"), (0, b"42\n", ""))
        self.assertEqual(self.on_fleet("decr", "n", 100), (0, b"0\n", ""))
        self.assertEqual(self.json_of("incr", "n", 2)[0]["number"], 2)
        self.on_fleet("set", "n", "x")
        status, _, error = self.on_fleet("incr", "n")
        self.assertEqual(status, 6)
        self.assertIn("non-numeric", error)

    def test_lifetimes_are_given_and_changed(self):
        self.on_fleet("set", "k", "v", "--ttl", 500)
        self.assertAlmostEqual(self.ttl_of("k"), 500, delta=3)
        self.assertEqual(self.on_fleet("touch", "k", 90)[0], 0)
        self.assertAlmostEqual(self.ttl_of("k"), 90, delta=3)
        self.assertEqual(self.on_fleet("gat", 5_000_000, "k"), (0, b"v\n", ""))
        self.assertAlmostEqual(self.ttl_of("k"), 5_000_000, delta=3)

    def ttl_of(self, key):
        _, text, _ = self.on_fleet("keys", "--prefix", key, "--json")
        return json.loads(text)["ttl"]

    def test_every_dialect_does_the_same(self):
        for dialect in ("classic", "meta", "binary"):
            with self.subTest(dialect=dialect):
                more = ["--dialect", dialect]
                self.assertEqual(self.on_fleet("set", "k", dialect, *more), (0, b"", ""))
                self.assertEqual(self.on_fleet("get", "k", *more), (0, dialect.encode() + b"\n", ""))
                self.assertEqual(self.on_fleet("add", "k", "v", *more)[0], 3)
                self.assertEqual(self.on_fleet("version", *more)[1].count(b"\n"), 3)
                self.assertEqual(self.on_fleet("ping", *more)[0], 0)
                self.assertEqual(self.on_fleet("delete", "k", *more)[0], 0)
                self.assertEqual(self.on_fleet("get", "k", *more)[0], 3)

    def test_a_unix_socket_is_a_server(self):
        with support.Server(unix=True) as server:
            self.assertEqual(larder("set", "k", "v", "--servers", server.path)[0], 0)
            self.assertEqual(larder("get", "k", "--servers", server.path), (0, b"v\n", ""))


class Nodes(FleetCase):
    def test_every_node_is_asked(self):
        status, text, _ = self.on_fleet("version")
        self.assertEqual(status, 0)
        self.assertEqual([line.split()[0] for line in text.decode().splitlines()], self.nodes)
        self.assertEqual([one["node"] for one in self.json_of("version")], self.nodes)
        for one in self.json_of("ping", "--count", 3):
            self.assertLessEqual(one["least_ms"], one["mean_ms"])
            self.assertLessEqual(one["mean_ms"], one["most_ms"])
            self.assertGreater(one["least_ms"], 0)
        self.assertIn("least ms", self.on_fleet("ping")[1].decode())

    def test_flush_forgets_everything(self):
        self.fill()
        for one in self.json_of("flush"):
            self.assertEqual(one["flushed"], True)
        self.assertEqual(self.on_fleet("get", "key:1")[0], 3)
        self.assertEqual(self.on_fleet("flush", "--delay", 100), (0, b"", ""))

    def test_stats_are_a_table_with_sums(self):
        self.fill()
        status, text, _ = self.on_fleet("stats")
        self.assertEqual(status, 0)
        rows = {line.split()[0]: line.split()[1:] for line in text.decode().splitlines()[1:]}
        self.assertEqual(text.decode().splitlines()[0].split(), [*self.nodes, "sum"])
        items = rows["curr_items"]
        self.assertEqual(len(items), 4)
        self.assertEqual(sum(map(int, items[:3])), int(items[3]))
        self.assertEqual(items[3], "300")
        self.assertEqual(len(rows["pid"]), 3)
        found = self.json_of("stats")
        self.assertEqual(found["sum"]["curr_items"], 300)
        self.assertEqual(found["nodes"][0]["stats"]["pid"], self.servers[0].process.pid)

    def test_groups_of_stats_are_what_the_servers_have(self):
        self.fill()
        self.assertIn(b"maxconns", self.on_fleet("stats", "settings")[1])
        self.assertIn(b"sizes_status", self.on_fleet("stats", "sizes")[1])
        self.assertEqual(larder("stats", "reset", "--servers", self.nodes[0]), (0, b"", ""))
        status, text, _ = larder("stats", "latency", "--servers", self.nodes[0])
        self.assertEqual(status, 0)
        self.assertIn(b"slow_requests", text)
        status, text, error = larder("stats", "a b", "--servers", self.nodes[0])
        self.assertEqual((status, text), (1, b""))
        self.assertIn("GROUP", error)

    def test_slab_classes_have_all_items(self):
        self.fill()
        total = 0
        for one in self.json_of("slabs"):
            total += sum(row["items"] for row in one["classes"])
        self.assertEqual(total, 300)
        self.assertIn("evicted age", self.on_fleet("slabs")[1].decode())


class Keys(FleetCase):
    def keys(self, *words):
        status, text, error = self.on_fleet("keys", *words)
        self.assertEqual((status, error), (0, ""))
        return text.decode().split("\n")[:-1]

    def test_all_keys_of_all_nodes(self):
        keys = self.fill()
        self.assertEqual(sorted(self.keys()), sorted(keys))
        for line in self.keys("--long"):
            key, size, ttl, node = line.split()
            self.assertEqual(node, self.node_of(key) if key == "key:7" else node)
            self.assertGreater(int(size), 10)
            self.assertEqual(ttl, "-1")

    def test_filters(self):
        self.fill(50)
        self.on_fleet("set", "large", "x" * 5000)
        self.on_fleet("set", "short", "x", "--ttl", 1000)
        self.assertEqual(self.keys("--min-size", 5000), ["large"])
        self.assertEqual(self.keys("--max-ttl", 1000), ["short"])
        self.assertEqual(self.keys("--max-ttl", 900), [])
        self.assertEqual(len(self.keys("--min-ttl", 1001)), 51)
        self.assertEqual(sorted(self.keys("--prefix", "key:4")),
                         sorted(["key:4"] + [f"key:4{n}" for n in range(10)]))
        self.assertEqual(len(self.keys("--max-size", 4999, "--prefix", "key:")), 50)

    def test_pages(self):
        self.fill(100)
        everything = self.keys()
        pages = []
        while len(pages) < len(everything):
            page = self.keys("--limit", 30, *(["--after", pages[-1]] if pages else []))
            self.assertEqual(len(page), min(30, len(everything) - len(pages)))
            pages += page
        self.assertEqual(pages, everything)
        self.assertEqual(self.keys("--after", everything[-1]), [])
        status, _, error = self.on_fleet("keys", "--after", "never")
        self.assertEqual(status, 3)
        self.assertIn("'never' is not there any more", error)

    def test_keys_of_any_bytes_are_printed_without_them(self):
        key = b"a \n\xff%\xc3\xa9"
        self.servers[2].ask(b"ms %s 1 b\r\nx\r\n" % base64.b64encode(key))
        _, text, _ = larder("keys", "--servers", self.nodes[2])
        self.assertEqual(text, b"a%20%0A%FF%25\xc3\xa9\n")
        _, text, _ = larder("keys", "--servers", self.nodes[2], "--json")
        self.assertEqual(base64.b64decode(json.loads(text)["key_base64"]), key)


class Copies(FleetCase):
    def items(self):
        """All items of the fleet: by key, value, flags and expiry, as dump has them."""
        status, text, error = self.on_fleet("dump")
        self.assertEqual((status, error), (0, ""))
        lines = text.split(b"\n", 1)
        self.assertEqual(lines[0], b"larder-dump 1")
        rest, found = lines[1], {}
        while not rest.startswith(b"end "):
            head, rest = rest.split(b"\n", 1)
            _, key, value, flags, expires = head.split()
            key, value = int(key), int(value)
            found[rest[:key]] = (rest[key:key + value], int(flags), int(expires))
            self.assertEqual(rest[key + value:key + value + 1], b"\n")
            rest = rest[key + value + 1:]
        self.assertEqual(int(rest.split()[1]), len(found))
        return found

    def add_peculiar(self):
        """Keys and values of any bytes, large values, lifetimes."""
        for server, key in zip(self.servers, (b"a\0\n ", b"\xff\r\n", LONG_KEY)):
            server.ask(b"ms %s %d b F9 T1000\r\n%s\r\n" % (
                base64.b64encode(key), len(support.ALL_BYTES), support.ALL_BYTES))
        self.on_fleet("set", "large", "-", stdin=b"x" * 900_000)

    def test_what_is_dumped_is_loaded_again(self):
        self.fill(1000)
        self.add_peculiar()
        before = self.items()
        self.assertEqual(len(before), 1004)
        value, flags, expires = before[LONG_KEY]
        self.assertEqual((value, flags), (support.ALL_BYTES, 9))
        self.assertAlmostEqual(expires, time.time() + 1000, delta=10)
        path = self.path("items")
        self.assertEqual(self.on_fleet("dump", path), (0, b"1004 items\n", ""))
        self.empty_all()
        self.assertEqual(self.items(), {})
        self.assertEqual(self.on_fleet("load", path),
                         (0, b"1004 stored, 0 were there, 0 expired, 0 refused\n", ""))
        self.assertEqual(self.items(), before)
        self.on_fleet("set", "key:5", "new")
        self.assertEqual(self.json_of("load", path, "--add"),
                         {"stored": 0, "there": 1004, "expired": 0, "refused": 0, "unreached": 0,
                          "stayed": 0})
        self.assertEqual(self.on_fleet("get", "key:5")[1], b"new\n")

    def test_what_has_expired_is_not_loaded(self):
        past, future = int(time.time()) - 5, int(time.time()) + 5000
        text = f"larder-dump 1\nitem 1 1 0 {past}\nax\nitem 1 1 0 {future}\nbx\nend 2\n"
        status, said, _ = self.on_fleet("load", "-", stdin=text.encode())
        self.assertEqual((status, said), (0, b"1 stored, 0 were there, 1 expired, 0 refused\n"))
        self.assertEqual(self.items(), {b"b": (b"x", 0, future)})

    def test_what_a_server_refuses_is_counted(self):
        value = "x" * 2_000_000
        text = f"larder-dump 1\nitem 1 1 0 0\nax\nitem 1 {len(value)} 0 0\nb{value}\nend 2\n"
        status, said, error = self.on_fleet("load", stdin=text.encode())
        self.assertEqual((status, said), (6, b"1 stored, 0 were there, 0 expired, 1 refused\n"))
        self.assertIn("the first that was refused: ", error)
        self.assertIn(self.node_of("b"), error)

    def test_a_file_that_was_cut_short_is_loaded_as_far_as_it_goes(self):
        status, said, error = self.on_fleet("load", stdin=b"larder-dump 1\nitem 1 1 0 0\nax\n")
        self.assertEqual((status, said), (1, b"1 stored, 0 were there, 0 expired, 0 refused\n"))
        self.assertEqual(error, "larder: '-' is cut short behind item 1\n")
        status, _, error = self.on_fleet("load", self.path("nothing"))
        self.assertEqual(status, 1)
        self.assertIn("nothing' cannot be opened: No such file", error)

    def test_a_dump_of_some(self):
        self.fill(100)
        path = self.path("items")
        self.assertEqual(self.json_of("dump", path, "--prefix", "key:1"),
                         {"items": 11, "stale": 0, "being_computed": 0, "unreadable": 0})

    def test_a_full_disk_is_told(self):
        self.fill(10)
        status, _, error = self.on_fleet("dump", "/dev/full")
        self.assertEqual((status, error),
                         (8, "larder: '/dev/full' cannot be written: No space left on device\n"))

    def test_copy_puts_items_where_the_new_ring_wants_them(self):
        self.fill(600)
        self.on_fleet("set", "large", "-", stdin=b"x" * 900_000)
        before = self.items()
        with support.Server() as fourth:
            more = self.list + "," + fourth.address
            status, text, error = larder("copy", "--from", self.list, "--to", more, "--json")
            self.assertEqual((status, error), (0, ""))
            counts = json.loads(text)
            self.assertEqual(counts["stored"] + counts["stayed"], 601)
            # A fourth, more or less.
            self.assertGreater(counts["stored"], 100)
            self.assertLess(counts["stored"], 200)
            moved = int(fourth.stat("curr_items"))
            self.assertGreater(moved, 100)
            for key in ("key:1", "key:2", "key:3", "large"):
                status, text, _ = larder("get", key, "--servers", more, "--raw")
                self.assertEqual((status, text), (0, before[key.encode()][0]))
        self.assertEqual(self.items().items() & before.items(), before.items())
        for words in (["--from", self.list], ["--to", self.list]):
            status, _, error = larder("copy", *words)
            self.assertEqual(status, 1)
            self.assertIn("is needed", error)


class Health(FleetCase):
    def test_a_fleet_that_is_well(self):
        status, text, error = self.on_fleet("check")
        self.assertEqual((status, error), (0, ""))
        self.assertTrue(text.endswith(b"\nAll is well.\n"))
        found = self.json_of("check")
        self.assertEqual((found["healthy"], found["problems"]), (True, []))
        self.assertEqual([one["node"] for one in found["nodes"]], self.nodes)
        self.assertEqual(found["nodes"][2]["memory_limit_bytes"], 64 << 20)

    def test_a_dead_node_and_limits_are_problems(self):
        dead = f"127.0.0.1:{support.free_port()}"
        status, text, _ = larder("check", "--servers", self.nodes[0] + "," + dead, "--json")
        self.assertEqual(status, 7)
        found = json.loads(text)
        self.assertEqual([one["reachable"] for one in found["nodes"]], [True, False])
        self.assertIn(dead, found["problems"][0])
        self.on_fleet("get", "nothing")
        status, text, _ = larder("check", "--servers", self.node_of("nothing"),
                                 "--min-hits", "100")
        self.assertEqual(status, 7)
        self.assertIn(b"has a hit ratio of only ", text)

    def test_nodes_that_publish_different_lists(self):
        path = self.path("nodes")
        ports = [support.free_port() for _ in range(3)]
        with open(path, "w", encoding="ascii") as file:
            file.write(f"1\nlocalhost||{ports[0]} cache-2|127.0.0.1|{ports[1]}\n")
        with support.Server("--cluster-file", path, port=ports[0]) as one, \
                support.Server("--cluster-file", path, port=ports[1]) as two:
            same = one.address + "," + two.address
            status, text, _ = larder("check", "--servers", same, "--json")
            self.assertEqual(status, 0, text)
            self.assertIn("cache-2", json.loads(text)["nodes"][0]["cluster"]["nodes"])
            status, text, _ = larder("check", "--servers", one.address)
            self.assertEqual(status, 7)
            self.assertIn(f"problem: {one.address} publishes the node cache-2:{ports[1]}, which "
                          "--servers does not have, so that it was not checked\n".encode(), text)
            self.assertNotIn(b"All is well", text)
            status, text, _ = larder("check", "--servers", one.address + "," + self.nodes[0])
            self.assertEqual(status, 7)
            self.assertIn(f"problem: {self.nodes[0]} publishes no list of nodes, and "
                          f"{one.address} does\n".encode(), text)


class Errors(unittest.TestCase):
    def test_a_server_that_is_not_there(self):
        dead = f"127.0.0.1:{support.free_port()}"
        for words in (["get", "k"], ["set", "k", "v"], ["stats"], ["version"], ["ping"],
                      ["flush"], ["slabs"], ["keys"], ["dump"], ["top", "--interval", "0.1"],
                      ["incr", "n"]):
            with self.subTest(words=words):
                status, _, error = larder(*words, "--servers", dead)
                self.assertEqual(status, 4)
                if words[0] != "top":
                    self.assertRegex(error, rf"^larder: [^\n]*{dead}[^\n]*\n$")
        status, text, _ = larder("get", "k", "--servers", dead, "--json")
        self.assertEqual((status, json.loads(text)[0]["error"]["kind"]), (4, "unreachable"))

    def test_a_server_that_does_not_answer_is_given_up(self):
        silent = Liar(b"")
        self.addCleanup(silent.stop)
        for words in (["get", "k"], ["stats"], ["ping"], ["keys"], ["dump"], ["check"]):
            with self.subTest(words=words):
                status, text, error = larder(*words, "--servers", silent.address,
                                             "--timeout", "0.2")
                self.assertEqual(status, 7 if words[0] == "check" else 4)
                self.assertIn(silent.address, text.decode() + error)

    def test_keys_that_stop_in_the_middle_are_told_as_far_as_they_came(self):
        stopped = Liar(b"key=a exp=-1 la=1 cas=1 fetch=no cls=1 size=9\n")
        self.addCleanup(stopped.stop)
        status, text, error = larder("keys", "--servers", stopped.address, "--timeout", "0.2")
        self.assertEqual((status, text), (4, b"a\n"))
        self.assertEqual(error, f"larder: {stopped.address} has stopped to tell its keys\n")

    def test_a_dump_of_somebody_else_is_waited_for(self):
        busy = Liar(b"BUSY currently processing crawler request\r\n")
        self.addCleanup(busy.stop)
        status, _, error = larder("keys", "--servers", busy.address, "--timeout", "0.2")
        self.assertEqual((status, error),
                         (4, f"larder: {busy.address} is busy with another dump\n"))

    def test_what_is_no_answer(self):
        liar = Liar(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.addCleanup(liar.stop)
        status, _, error = larder("get", "k", "--servers", liar.address, "--timeout", "2")
        self.assertEqual(status, 6)
        self.assertIn(liar.address, error)

    def test_what_a_server_does_not_have(self):
        with support.Server(command=[MEMCACHED, "-o", "no_lru_crawler"]) as server:
            for words in (["keys"], ["dump"]):
                status, _, error = larder(*words, "--servers", server.address)
                self.assertEqual(status, 6)
                self.assertRegex(error, rf"^larder: {server.address} [^\n]*disabled\n$")
            # Debian's memcached answers a group that it does not have with none.
            self.assertIn(larder("stats", "nonsense", "--servers", server.address)[0], (0, 6))

    def test_words_that_make_no_sense(self):
        for words in (["get"], ["set"], ["touch", "k", "x"], ["touch", "k", "-1"], ["nonsense"], [],
                      ["get", "k", "--servers", "a"], ["incr", "n", "x"],
                      ["get", "k", "--dialect", "x"], ["top", "--interval", "0"],
                      ["keys", "--limit", "0"], ["get", "k", "--tls-key", "x"]):
            with self.subTest(words=words):
                status, text, error = larder(*words)
                self.assertEqual((status, text), (1, b""))
                self.assertRegex(error, r"^larder: [^\n]+\n$")

    def test_help_has_the_statuses(self):
        status, text, _ = larder("--help")
        self.assertEqual(status, 0)
        self.assertIn(b"  4  a server could not be reached, was too slow, or went away, or copy deleted "
                      b"what it had added\n", text)
        self.assertIn(b"  7  check found a problem", text)


class Logins(unittest.TestCase):
    """A server that wants a password: text commands after memcached's ASCII login."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.users = self.write("users", "me:secret\n")

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def test_the_password_comes_from_a_file_or_the_environment(self):
        address = start_by_hand(self.addCleanup, "-Y", self.users)
        where = ["--servers", address]
        file = self.write("password", "secret\n")
        self.assertEqual(larder("set", "k", "v", *where, "--user", "me", "--password-file", file),
                         (0, b"", ""))
        self.assertEqual(larder("get", "k", *where, "--user", "me", LARDER_PASSWORD="secret"),
                         (0, b"v\n", ""))
        for words in (["stats"], ["keys"], ["check"], ["dump"]):
            self.assertEqual(larder(*words, *where, "--user", "me", LARDER_PASSWORD="secret")[0], 0)

    def test_without_the_right_one_the_status_is_5(self):
        address = start_by_hand(self.addCleanup, "-Y", self.users)
        for words in (["get", "k"], ["set", "k", "v"], ["stats"], ["keys"]):
            with self.subTest(words=words):
                status, _, error = larder(*words, "--servers", address, "--user", "me",
                                          LARDER_PASSWORD="wrong")
                self.assertEqual(status, 5)
                self.assertRegex(error, rf"^larder: [^\n]*{address}[^\n]*\n$")
        status, _, error = larder("get", "k", "--servers", address)
        self.assertEqual(status, 5)
        status, _, error = larder("get", "k", "--servers", address, "--user", "me")
        self.assertEqual((status, error), (1, "larder: --user: needs --password-file or the "
                                              "variable LARDER_PASSWORD\n"))


class Tls(unittest.TestCase):
    def test_a_certificate_is_trusted_or_status_5(self):
        openssl = support.need_program("openssl", "openssl")
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
            done = support.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                                certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
                                "subjectAltName=IP:127.0.0.1"])
            self.assertEqual(done.returncode, 0, done.stdout)
            address = start_by_hand(
                self.addCleanup, "-Z", "-o", f"ssl_chain_cert={certificate},ssl_key={key}")
            where = ["--servers", address]
            trusting = [*where, "--tls", "--tls-ca", certificate]
            self.assertEqual(larder("set", "k", "v", *trusting), (0, b"", ""))
            self.assertEqual(larder("get", "k", *trusting), (0, b"v\n", ""))
            self.assertEqual(larder("keys", *trusting), (0, b"k\n", ""))
            self.assertEqual(larder("get", "k", *where, "--tls", "--tls-no-verify")[0], 0)
            status, _, error = larder("get", "k", *where, "--tls")
            self.assertEqual(status, 5)
            self.assertIn(f"the certificate of {address} is not trusted", error)
            self.assertEqual(larder("get", "k", *where, "--timeout", "1")[0], 4)


class Screen:
    """`larder top` in a terminal of 80x24, and what is on it."""

    def __init__(self, *words, columns=80, rows=24):
        self.primary, secondary = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(secondary)
        self.secondary = secondary
        self.process = subprocess.Popen(
            [LARDER, "top", *words], stdin=secondary, stdout=secondary, stderr=secondary,
            start_new_session=True)
        self.seen = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(self.seen):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.primary], [], [], left)[0]:
                raise AssertionError(f"waited in vain; it wrote {self.seen!r}")
            self.seen += os.read(self.primary, 65536)

    def frames(self):
        """Those that were drawn to their end, as lists of lines."""
        texts = self.seen.decode().split("\x1b[H")[1:]
        return [text.split("\x1b[J")[0].replace("\x1b[K", "").replace("\r", "").split("\n")
                for text in texts if "\x1b[J" in text]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.primary)
        os.close(self.secondary)


class Top(FleetCase):
    def screen(self, *words, **more):
        screen = Screen("--servers", self.list, *words, **more)
        self.addCleanup(screen.close)
        return screen

    def assert_given_back(self, screen):
        """The usual screen, its cursor and the settings of the terminal."""
        screen.read_until(lambda seen: seen.endswith(b"\x1b[?25h\x1b[?1049l"))
        self.assertEqual(termios.tcgetattr(screen.secondary), screen.before)

    def test_a_frame_of_80_by_24(self):
        self.fill()
        screen = self.screen("--interval", "0.3")
        screen.read_until(lambda seen: seen.count(b"\x1b[J") >= 4)
        frame = screen.frames()[-1]
        self.assertLessEqual(len(frame), 24)
        self.assertLessEqual(max(map(len, frame)), 80)
        self.assertRegex(frame[0], r"^larder top: 3 nodes +q quits, every 0\.3 s, \d\d:\d\d:\d\d$")
        self.assertEqual(frame[2].split(), ["node", "get/s", "set/s", "hit%", "mem%", "items",
                                            "evt/s", "conns", "in/s", "out/s", "p99us"])
        self.assertEqual([line.split()[0] for line in frame[3:7]], [*self.nodes, "all"])
        self.assertEqual(frame[6].split()[5], "300")
        self.assertRegex(frame[3].split()[1], r"^\d")  # a rate, now that there are two samples
        self.assertEqual(screen.frames()[0], ["larder top: asks 3 nodes"])
        self.assertEqual(screen.frames()[1][3].split()[1], "-")
        self.assertTrue(frame[8].startswith("microseconds"))
        os.write(screen.primary, b"q")
        self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 0)
        self.assert_given_back(screen)

    def test_a_window_may_change_its_size(self):
        screen = self.screen("--interval", "60")
        screen.read_until(lambda seen: seen.count(b"\x1b[J") >= 2)
        screen.resize(100, 5)
        screen.process.send_signal(signal.SIGWINCH)
        screen.read_until(lambda seen: seen.count(b"\x1b[J") >= 3)
        frame = screen.frames()[-1]
        self.assertEqual(len(frame), 5)
        self.assertEqual(len(frame[2]), 100)
        self.assertIn("lines more", frame[4])
        os.write(screen.primary, b"\x03")
        self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 0)

    def test_signals_give_the_terminal_back(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number):
                screen = self.screen("--interval", "60")
                screen.read_until(lambda seen: b"\x1b[J" in seen)
                self.assertNotEqual(termios.tcgetattr(screen.secondary), screen.before)
                screen.process.send_signal(number)
                self.assertEqual(screen.process.wait(PATIENCE_SECONDS), -number)
                self.assert_given_back(screen)

    def test_who_is_stopped_gives_the_terminal_back_and_takes_it_again(self):
        screen = self.screen("--interval", "60")
        screen.read_until(lambda seen: b"\x1b[J" in seen)
        os.write(screen.primary, b"\x1a")
        os.waitpid(screen.process.pid, os.WUNTRACED)
        self.assert_given_back(screen)
        screen.process.send_signal(signal.SIGCONT)
        screen.read_until(lambda seen: seen.count(b"\x1b[J") >= 2)
        os.write(screen.primary, b"q")
        self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 0)

    def test_a_node_that_dies_is_said_to(self):
        with support.Server() as mortal:
            screen = Screen("--servers", self.nodes[0] + "," + mortal.address, "--interval", "0.1")
            self.addCleanup(screen.close)
            screen.read_until(lambda seen: b"\x1b[J" in seen)
            mortal.stop()
            screen.read_until(lambda seen: b"1 not reached" in seen and seen.endswith(b"\x1b[J"))
            frame = screen.frames()[-1]
            self.assertIn(mortal.address, frame[4])
            self.assertRegex(frame[3].split()[4], r"^\d")
            os.write(screen.primary, b"q")
            self.assertEqual(screen.process.wait(PATIENCE_SECONDS), 0)

    def test_without_a_terminal_it_is_one_frame(self):
        status, text, _ = self.on_fleet("top", "--interval", "0.1")
        self.assertEqual(status, 0)
        self.assertNotIn(b"\x1b", text)
        self.assertEqual(text.count(b"larder top: 3 nodes"), 1)
        found = self.json_of("top", "--once", "--interval", "0.1")
        self.assertEqual([one["node"] for one in found], self.nodes)
        self.assertGreater(found[0]["bytes_out_per_second"], 0)
        self.assertEqual(found[2]["latency"], {})


if __name__ == "__main__":
    support.main()
