"""A fleet whose nodes find each other in etcd (--cluster-etcd), with Debian's etcd-server.

Real processes on loopback: nodes that come, leave, die and hang, etcd that goes away and comes back
with and without its data, rubbish in it, and servers that only pretend to be etcd.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import socketserver
import tempfile
import threading
import time
import unittest
import unittest.mock
import urllib.error
import urllib.request

import support
from etcd import (AGREE_SECONDS, GONE_SECONDS, LEASE_SECONDS, PATIENCE_SECONDS, Etcd, Node, encoded,
                  told)


class Fleet(unittest.TestCase):
    def setUp(self):
        self.etcd = Etcd()
        self.addCleanup(shutil.rmtree, self.etcd.folder, ignore_errors=True)
        self.addCleanup(self.etcd.stop)

    def node(self, *options, **more):
        node = Node(self.etcd.address, *options, **more)
        self.addCleanup(self.stop, node)
        return node

    def stop(self, node):
        complaint = node.stop()
        if complaint:
            raise AssertionError(complaint)

    def kill(self, node):
        node.process.kill()
        node.process.wait()
        node.stop()  # whose complaint is true

    def agree(self, among, on, seconds=AGREE_SECONDS):
        """Waits until `among` all publish the nodes `on` with one version, which it returns."""
        expected = sorted(node.text for node in on)

        def all_agree():
            lists = [told(node) for node in among]
            return (None not in lists and len({version for version, _ in lists}) == 1 and
                    all(nodes == expected for _, nodes in lists))
        try:
            support.wait_until(all_agree, "agreement", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: they say {[told(node) for node in among]} and not "
                                 f"{expected}; the first one printed:\n{among[0].output()}")
        return told(among[0])[0]


class Changes(Fleet):
    def test_nodes_come_leave_die_and_hang(self):
        a = self.node()
        versions = [self.agree([a], [a])]
        b = self.node()
        versions.append(self.agree([a, b], [a, b]))
        c = self.node()
        versions.append(self.agree([a, b, c], [a, b, c]))
        # The version is etcd's revision of what clients are told.
        text, revision, lease = self.etcd.keys("/larder/fleet/list")["/larder/fleet/list"]
        self.assertEqual((text, revision, lease),
                         (" ".join(sorted(n.text for n in (a, b, c))) + "\n", versions[-1], 0))

        with self.subTest("other keys change nothing"):
            for i in range(50):
                self.etcd.put(f"/elsewhere/{i}", "x")
            d = self.node(name="other")
            self.agree([d], [d])
            self.assertEqual(self.agree([a, b, c], [a, b, c]), versions[-1])

        with self.subTest("a clean end takes a node out at once"):
            self.assertIsNone(b.stop())
            versions.append(self.agree([a, c], [a, c]))
        with self.subTest("who starts later says the same as who was there"):
            b = self.node()
            versions.append(self.agree([a, b, c], [a, b, c]))
        with self.subTest("a node that dies is gone within its lease"):
            self.kill(b)
            versions.append(self.agree([a, c], [a, c], GONE_SECONDS))
        with self.subTest("a node that hangs is gone within its lease, and comes back"):
            c.process.send_signal(signal.SIGSTOP)
            versions.append(self.agree([a], [a], GONE_SECONDS))
            c.process.send_signal(signal.SIGCONT)
            versions.append(self.agree([a, c], [a, c], AGREE_SECONDS))
            self.assertIn("the lease of this server has run out", c.output())
        self.assertEqual(versions, sorted(set(versions)), "versions only grow")

    def test_a_node_that_is_started_again_at_once_takes_its_place(self):
        a, b = self.node(), self.node()
        before = self.agree([a, b], [a, b])
        self.kill(b)
        again = self.node(port=b.port)
        self.assertEqual(self.agree([a, again], [a, again]), before)
        # The old lease runs out without taking the key with it.
        time.sleep(GONE_SECONDS)
        self.assertEqual(self.agree([a, again], [a, again]), before)

    def test_many_changes_at_once_end_in_one_list(self):
        fleet = [self.node() for _ in range(5)]
        version = self.agree(fleet, fleet)
        key = "/larder/fleet/nodes/{}:1".format
        for i in range(40):
            self.etcd.put(key(f"n{i}"), f"n{i}||1")
        for i in range(40):
            self.etcd.delete(key(f"n{i}"))
        fleet.append(self.node())
        self.assertGreater(self.agree(fleet, fleet), version)

    def test_the_key_of_a_node_that_is_deleted_comes_back(self):
        a, b = self.node(), self.node()
        before = self.agree([a, b], [a, b])
        self.etcd.ctl("del", "--prefix", "/larder/fleet/")
        support.wait_until(lambda: told(a)[0] > before, "a new version")
        self.assertGreater(self.agree([a, b], [a, b]), before)


class Items(Fleet):
    """What a node has stored is dropped when a list went without it, and only then."""

    def fill(self, *nodes):
        for node in nodes:
            node.ask(b"set k 0 0 1\r\nx\r\n")

    def leave(self, node):
        node.process.send_signal(signal.SIGUSR1)
        self.assertEqual(node.process.wait(support.STOP_TIMEOUT_SECONDS), 0)
        node.stop()  # whose complaint is that it has ended

    def has_items(self, node):
        return b"x" in node.ask(b"get k\r\n", b"END\r\n")

    def row(self, node, name):
        rows = node.ask(b"stats larder\r\n", b"END\r\n").decode()
        found = re.search(rf"STAT {name} (\d+)\r\n", rows)
        return found and int(found.group(1))

    def test_a_node_that_was_off_the_list_drops_them_before_it_is_back(self):
        a, b = self.node(), self.node()
        self.agree([a, b], [a, b])
        self.fill(a, b)
        b.process.send_signal(signal.SIGSTOP)
        self.agree([a], [a], GONE_SECONDS)
        b.process.send_signal(signal.SIGCONT)
        self.agree([a, b], [a, b])
        self.assertFalse(self.has_items(b))
        self.assertTrue(self.has_items(a))
        self.assertIn("its 1 items are dropped", b.output())
        self.assertEqual(b.stat("cmd_flush"), "0")
        self.assertLess(self.row(b, "emptied_ago_ms"), 60_000)
        self.assertEqual(self.row(b, "drops_before_joining"), 1)

    def test_a_key_names_the_process_that_holds_it(self):
        a = self.node()
        self.agree([a], [a])
        key = f"/larder/fleet/nodes/localhost:{a.port}"
        value, _, _ = self.etcd.keys("/larder/fleet/nodes/")[key]
        incarnation = self.row(a, "incarnation")
        self.assertEqual(value, f"# incarnation {incarnation}\n{a.text}")
        self.kill(a)
        again = self.node(port=a.port)
        self.agree([again], [again])
        self.assertNotEqual(self.row(again, "incarnation"), incarnation)

    def test_etcd_may_be_away_or_lose_its_data(self):
        a, b = self.node(), self.node()
        self.agree([a, b], [a, b])
        self.fill(a, b)
        for loses in (False, True):
            with self.subTest("it loses its data" if loses else "it is away"):
                self.etcd.stop()
                time.sleep(GONE_SECONDS)
                if loses:
                    self.etcd.lose_data()
                self.etcd.start()
                support.wait_until(lambda: len(self.etcd.keys("/larder/fleet/nodes/")) == 2,
                                   "both keys", PATIENCE_SECONDS)
                self.agree([a, b], [a, b], GONE_SECONDS + AGREE_SECONDS)
                self.assertTrue(self.has_items(a) and self.has_items(b))

    def test_a_warm_start_keeps_them_only_in_the_place_where_they_were_stored(self):
        folder = tempfile.mkdtemp(prefix="larder-etcd-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        other = self.node()
        options = ("-e", os.path.join(folder, "items"))
        node = self.node(*options)
        self.agree([other, node], [other, node])
        self.fill(node)
        with self.subTest("a list went without it"):
            self.leave(node)
            self.agree([other], [other])
            node = self.node(*options, port=node.port)
            self.assertIn("brings back 1 items", node.output())
            self.agree([other, node], [other, node])
            self.assertFalse(self.has_items(node))
        self.fill(node)
        with self.subTest("etcd knew nothing of it"):
            self.etcd.stop()
            self.leave(node)
            node = self.node(*options, port=node.port)
            self.etcd.start()
            self.agree([other, node], [other, node], GONE_SECONDS)
            support.wait_until(lambda: f"{self.row(node, 'incarnation')}" in str(
                self.etcd.keys("/larder/fleet/nodes/")), "its key", PATIENCE_SECONDS)
            self.assertTrue(self.has_items(node))


class Drain(Fleet):
    """A signal takes a node off the list; it serves for --cluster-drain, or until a second one."""

    LONG = ("--cluster-drain", 600)

    def ended(self, node):
        """The exit status of a node that ends by itself, and what it printed."""
        status = node.process.wait(PATIENCE_SECONDS)
        output = node.output()
        node.stop()  # whose complaint is true
        return status, output

    def test_both_signals_take_a_node_off_the_list_while_it_serves(self):
        a, b = self.node(), self.node()
        for number in (signal.SIGTERM, signal.SIGUSR1):
            with self.subTest(number):
                port = support.free_port()
                c = self.node(*self.LONG, "--http", port)
                self.agree([a, b, c], [a, b, c])
                self.assertEqual(page(port, "/readyz")[0], 200)
                with c.connect() as old:
                    c.process.send_signal(number)
                    # It tells of the list without itself, too.
                    self.agree([a, b, c], [a, b])
                    old.sendall(b"set k 0 0 1\r\nx\r\n")
                    self.assertEqual(old.recv(100), b"STORED\r\n")
                self.assertEqual(c.ask(b"get k\r\n", b"END\r\n"), b"VALUE k 0 1\r\nx\r\nEND\r\n")
                self.assertEqual(page(port, "/readyz"), (503, "this server drains\n"))
                self.assertEqual(page(port, "/healthz")[0], 200)
                self.assertIn(b"STAT draining 1\r\n", c.ask(b"stats larder\r\n", b"END\r\n"))
                # It does not come back while others come, or when its lease would have run out.
                d = self.node()
                self.agree([a, b, c, d], [a, b, d])
                time.sleep(GONE_SECONDS)
                self.agree([a, b, c, d], [a, b, d])
                self.assertIsNone(d.stop())
                self.agree([a, b, c], [a, b])
                c.process.send_signal(number)
                status, output = self.ended(c)
                self.assertEqual(status, 0, output)
                self.assertEqual(output.count("draining for 600 seconds"), 1, output)
                self.assertEqual(output.count("the drain has ended"), 1, output)
                self.agree([a, b], [a, b])

    def test_a_node_ends_by_itself_when_it_has_drained(self):
        a, b = self.node(), self.node("--cluster-drain", 2)
        self.agree([a, b], [a, b])
        b.process.send_signal(signal.SIGTERM)
        self.agree([a], [a])
        status, output = self.ended(b)
        self.assertEqual(status, 0, output)
        self.assertIn("the drain has ended", output)

    def test_other_ends_and_a_drain_of_0_wait_for_nobody(self):
        for options, end in (
                (self.LONG, lambda node: node.process.send_signal(signal.SIGINT)),
                ((*self.LONG, "-A"), lambda node: node.ask(b"shutdown\r\n")),
                ((*self.LONG, "-A"), lambda node: node.ask(b"shutdown graceful\r\n")),
                ((), lambda node: node.process.send_signal(signal.SIGTERM))):
            with self.subTest(options):
                node = self.node(*options)
                self.agree([node], [node])
                end(node)
                status, output = self.ended(node)
                self.assertEqual(status, 0, output)
                self.assertNotIn("drain", output)

    def test_a_node_drains_while_etcd_is_away(self):
        a = self.node(*self.LONG)
        before = self.agree([a], [a])
        self.etcd.stop()
        a.process.send_signal(signal.SIGTERM)
        support.wait_until(lambda: "draining for" in a.output(), "the drain", PATIENCE_SECONDS)
        self.assertEqual(told(a), (before, [a.text]))
        a.process.send_signal(signal.SIGUSR1)
        self.assertEqual(self.ended(a)[0], 0)
        self.etcd.start()

    def test_a_drain_that_is_cut_short_keeps_the_items(self):
        folder = tempfile.mkdtemp(prefix="larder-etcd-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        options = ("-e", os.path.join(folder, "items"), *self.LONG)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            for second in (signal.SIGTERM, signal.SIGINT):
                with self.subTest(f"{number}, {second}"):
                    node = self.node(*options)
                    self.agree([node], [node])
                    node.ask(b"set k 0 0 1\r\nx\r\n")
                    node.process.send_signal(number)
                    support.wait_until(lambda: "draining for" in node.output(), "the drain",
                                       PATIENCE_SECONDS)
                    node.ask(b"set late 0 0 1\r\ny\r\n")
                    node.process.send_signal(second)
                    status, output = self.ended(node)
                    self.assertEqual(status, 0, output)
                    self.assertIn("keeps 2 items", output)
                    again = self.node(*options, port=node.port)
                    self.agree([again], [again])
                    self.assertIn(b"y", again.ask(b"get late\r\n", b"END\r\n"))
                    again.ask(b"flush_all\r\n")
                    again.process.send_signal(signal.SIGINT)
                    self.ended(again)


def page(port, path):
    """The status and the body of a page of a larderd's HTTP server."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class EtcdComesAndGoes(Fleet):
    def test_it_is_away_for_longer_than_a_lease(self):
        a, b = self.node(), self.node()
        before = self.agree([a, b], [a, b])
        self.etcd.stop()
        end = time.monotonic() + GONE_SECONDS
        while time.monotonic() < end:
            self.assertEqual(told(a), told(b))
            self.assertEqual(told(a)[0], before)
            time.sleep(0.1)
        self.assertEqual(a.ask(b"set k 0 0 1\r\nx\r\n"), b"STORED\r\n")
        self.etcd.start()
        c = self.node()
        after = self.agree([a, b, c], [a, b, c])
        self.assertGreater(after, before)
        for node in (a, b):
            self.assertEqual(node.output().count("cannot use etcd: "), 1, node.output())
            self.assertEqual(node.output().count("etcd is used: "), 2, node.output())

    def test_it_comes_back_without_its_data(self):
        fleet = [self.node() for _ in range(3)]
        for i in range(100):
            self.etcd.put("/elsewhere/key", str(i))
        self.assertIsNone(fleet.pop().stop())
        before = self.agree(fleet, fleet)
        self.assertGreater(before, 100)
        self.etcd.stop()
        self.etcd.lose_data()
        self.etcd.start()
        # No list without one of them in between.
        everybody = sorted(node.text for node in fleet)
        end = time.monotonic() + GONE_SECONDS
        while time.monotonic() < end:
            for node in fleet:
                self.assertEqual(told(node)[1], everybody)
            time.sleep(0.02)
        again = self.agree(fleet, fleet)
        self.assertGreater(again, before)
        fleet.append(self.node())
        self.assertGreater(self.agree(fleet, fleet), again)
        self.assertIsNone(fleet.pop().stop())
        self.agree(fleet, fleet)

    def test_it_starts_later_than_the_servers(self):
        self.etcd.stop()
        a, b = self.node(), self.node()
        self.assertEqual(told(a), None)
        self.assertEqual(a.ask(b"set k 0 0 1\r\nx\r\n"), b"STORED\r\n")
        self.etcd.start()
        self.agree([a, b], [a, b], AGREE_SECONDS + 2)
        self.assertEqual(a.output().count("cannot use etcd: "), 1, a.output())

    def test_a_server_stops_quickly_while_etcd_is_away_or_hangs(self):
        a, b = self.node(), self.node()
        self.agree([a, b], [a, b])
        self.etcd.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        try:
            self.assertIsNone(a.stop())
        finally:
            self.etcd.process.send_signal(signal.SIGCONT)
        self.assertLess(time.monotonic() - begun, 5)
        self.etcd.stop()
        begun = time.monotonic()
        self.assertIsNone(b.stop())
        self.assertLess(time.monotonic() - begun, 5)
        self.etcd.start()

    def test_the_next_endpoint_is_taken_when_one_fails(self):
        with Pretender(b"nonsense\r\n\r\n") as pretender:
            endpoints = f"127.0.0.1:{support.free_port()},http://{pretender.address}," + \
                        f"localhost:{self.etcd.port}"
            a = Node(endpoints, name="fleet")
            self.addCleanup(self.stop, a)
            self.agree([a], [a], AGREE_SECONDS + 3)
            self.assertEqual(a.output().count("cannot use etcd: "), 1, a.output())

    def test_history_that_was_compacted_is_no_trouble(self):
        a = self.node()
        before = self.agree([a], [a])
        a.process.send_signal(signal.SIGSTOP)
        for i in range(20):
            self.etcd.put("/larder/fleet/nodes/x:1", "x||1")
        self.etcd.delete("/larder/fleet/nodes/x:1")
        revision = self.etcd.post("kv/range", key=encoded("x"))["header"]["revision"]
        self.etcd.ctl("compact", revision)
        a.process.send_signal(signal.SIGCONT)
        b = self.node()
        self.assertGreater(self.agree([a, b], [a, b]), before)


class Authentication(Fleet):
    def test_a_user_is_let_in_and_a_stranger_is_not(self):
        for words in (["role", "add", "fleet"],
                      ["role", "grant-permission", "fleet", "--prefix", "readwrite", "/larder/"],
                      ["user", "add", "root:secret"], ["user", "grant-role", "root", "root"],
                      ["user", "add", "larder:word"], ["user", "grant-role", "larder", "fleet"],
                      ["auth", "enable"]):
            self.etcd.ctl(*words)
        stranger = self.node()
        support.wait_until(lambda: "cannot use etcd: " in stranger.output(), "a line in the log")
        self.assertIn("user name is empty", stranger.output())
        variables = {"LARDER_ETCD_USER": "larder", "LARDER_ETCD_PASSWORD": "word"}
        with unittest.mock.patch.dict(os.environ, variables):
            a, b = self.node(), self.node()
        self.agree([a, b], [a, b], AGREE_SECONDS + 2)
        self.assertIsNone(b.stop())
        self.agree([a], [a])
        self.assertIsNone(told(stranger))
        self.etcd.ctl("--user", "root:secret", "auth", "disable")


class Rubbish(Fleet):
    def test_keys_that_are_no_nodes_are_refused_and_the_list_stays(self):
        a = self.node()
        before = told(a) if self.agree([a], [a]) else None
        nodes = "/larder/fleet/nodes/"
        for key, value in (("x:1", "nonsense"), ("x:1", ""), ("x:1", b"\xff\x00|\x01"),
                           ("x:1", "y||1"), ("x:1", "x||1 y||1"), ("x:1", "7\nx||1"),
                           ("x", "x||1"), ("", "x||1"), ("x:1", "x||99999"), ("x:1", "x" * 9999)):
            self.etcd.put(nodes + key, value)
        self.etcd.put("/larder/fleet/other", "x||1")
        support.wait_until(lambda: "cannot use the key" in a.output(), "a line in the log")
        b = self.node()
        self.agree([a, b], [a, b])
        self.assertIsNone(b.stop())
        after = self.agree([a], [a])
        self.assertGreater(after, before[0])
        self.etcd.ctl("put", nodes + "x:1", "x|10.0.0.1|1")
        support.wait_until(lambda: "x|10.0.0.1|1" in told(a)[1], "a valid node", AGREE_SECONDS)

    def test_a_node_whose_key_was_overwritten_stays_in_the_list_and_puts_it_right(self):
        a, b, c = fleet = [self.node() for _ in range(3)]
        before = self.agree(fleet, fleet)
        key = f"/larder/fleet/nodes/localhost:{b.port}"
        own, _, lease = self.etcd.keys(key)[key]
        self.assertTrue(own.endswith("\n" + b.text))
        for value in ("garbage", "", "x||1"):
            with self.subTest(value):
                self.etcd.put(key, value)
                support.wait_until(lambda: self.etcd.keys(key)[key][::2] == (own, lease),
                                   "the node's own value", PATIENCE_SECONDS)
        self.assertEqual(self.agree(fleet, fleet), before)
        for node in fleet:
            self.assertNotIn("another server is announced", node.output())
        for other in ("x:1", "y:1"):
            self.etcd.put("/larder/fleet/nodes/" + other, "garbage")
        for other in ("x:1", "y:1"):
            for node in (a, c):
                support.wait_until(
                    lambda: f"'/larder/fleet/nodes/{other}'" in node.output(),
                    f"a line about {other}", PATIENCE_SECONDS)
        self.assertEqual(self.agree(fleet, fleet), before)

    def test_a_list_that_somebody_else_wrote_is_put_right(self):
        a = self.node()
        version = self.agree([a], [a])
        for rubbish in ("nonsense", "", "x||1\n", "99999999999999999999\nx||1\n",
                        "9007199254740991\n" + a.text + "\n"):
            with self.subTest(rubbish):
                self.etcd.put("/larder/fleet/list", rubbish)
                support.wait_until(lambda: told(a)[0] > version, "a new version", PATIENCE_SECONDS)
                self.assertEqual(told(a)[1], [a.text])
                version = told(a)[0]
                self.assertLess(version, 1000)
                self.assertEqual(self.etcd.keys("/larder/fleet/list")["/larder/fleet/list"][1],
                                 version)

    def test_more_than_can_be_read_leaves_the_list_in_force(self):
        a = self.node()
        before = self.agree([a], [a])
        for i in range(6):
            self.etcd.put(f"/larder/fleet/nodes/huge{i}", "x" * 1_000_000)
        support.wait_until(lambda: "cannot use etcd: " in a.output(), "a line in the log")
        self.assertIn("its answer is too long", a.output())
        self.assertEqual(told(a), (before, [a.text]))
        # It is still announced: leases need no reading.
        time.sleep(GONE_SECONDS)
        self.assertIn(f"/larder/fleet/nodes/localhost:{a.port}",
                      self.etcd.keys("/larder/fleet/nodes/localhost"))
        self.etcd.ctl("del", "--prefix", "/larder/fleet/nodes/huge")
        b = self.node()
        self.agree([a, b], [a, b], AGREE_SECONDS + 2)
        self.assertEqual(a.output().count("cannot use etcd: "), 1, a.output())


class Pretender:
    """Answers every connection with the same bytes, then closes, or goes on for ever."""

    def __init__(self, answer, hold=False, endless=b""):
        pretender = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                pretender.asked += 1
                with contextlib.suppress(OSError):
                    self.request.recv(65536)
                    self.request.sendall(answer)
                    while endless and not pretender.closing.is_set():
                        self.request.sendall(endless)
                    if hold:
                        pretender.closing.wait()

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.asked = 0
        self.closing = threading.Event()
        self.server = Listener(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def chunked(*parts):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def plain(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


GRANT = b'{"header":{"revision":"7"},"ID":"5","TTL":"3"}'
ANSWERS = {
    "nothing": (b"", {}),
    "silence": (b"", {"hold": True}),
    "no HTTP": (b"\xff\x00\r\n\r\n\x80" * 100, {}),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", {}),
    "half a head that is held": (b"HTTP/1.1 200 OK\r\nContent-", {"hold": True}),
    "half a body": (plain(GRANT)[:-9], {}),
    "half a body that is held": (plain(GRANT)[:-9], {"hold": True}),
    "half a chunk": (chunked(GRANT)[:-9], {}),
    "a chunk of all there is": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                b"7fffffffffffffff\r\n", {"endless": b"x" * 65536}),
    "a chunk of nonsense": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {}),
    "a body without end": (b"HTTP/1.1 200 OK\r\n\r\n", {"endless": b"[" * 65536}),
    "chunks without end": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                           {"endless": b"4000\r\n" + b"{" * 0x4000 + b"\r\n"}),
    "a head without end": (b"HTTP/1.1 200 OK\r\n", {"endless": b"A: " + b"b" * 8000 + b"\r\n"}),
    "a length below zero": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nxxxxx", {}),
    "a length of all there is": (b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
                                 {"endless": b"x" * 65536}),
    "another page": (plain(b"<html>not found</html>", b"404 Not Found"), {}),
    "a redirection": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                      b"Content-Length: 0\r\n\r\n", {}),
    "no JSON": (plain(b"ID=5"), {}),
    "JSON of another kind": (plain(b'[1,2,{"ID":[]}]'), {}),
    "deep JSON": (plain(b"[" * 2_000_000), {}),
    "wide JSON": (plain(b"[" + b"[]," * 600_000 + b"5]"), {}),
    "wide JSON of objects": (plain(b'{"kvs":[' + b"{}," * 650_000 + b'{}],"ID":"5"}'), {}),
    "numbers that are none": (plain(b'{"header":{"revision":"-7"},"ID":"1e5","TTL":"x"}'), {}),
    # To every question, also that for the keys.
    "the grant of a lease": (plain(GRANT), {}),
    "keys that are none": (plain(GRANT[:-1] + b',"kvs":[{"key":"!","value":5}],'
                                 b'"result":{"TTL":"3"}}'), {}),
    "keys of the future": (plain(GRANT[:-1] + b',"kvs":[{"key":"eA==","mod_revision":"99"}],'
                                 b'"result":{"TTL":"3"}}'), {}),
    "an error of etcd": (plain(b'{"error":"etcdserver: \\u0000 mvcc: out of space","code":8}',
                               b"503 Service Unavailable"), {}),
}


class Pretenders(unittest.TestCase):
    def test_a_server_serves_whatever_answers_in_the_place_of_etcd(self):
        with contextlib.ExitStack() as stack:
            pairs = []
            for name, (answer, more) in ANSWERS.items():
                pretender = stack.enter_context(Pretender(answer, **more))
                node = stack.enter_context(Node(pretender.address))
                pairs.append((name, pretender, node, node.rss_bytes()))
            for name, pretender, node, rss in pairs:
                with self.subTest(name):
                    support.wait_until(lambda: "cannot use etcd: " in node.output(),
                                       "a line in the log", PATIENCE_SECONDS)
                    support.wait_until(lambda: pretender.asked >= 4, "asking again",
                                       PATIENCE_SECONDS)
                    self.assertEqual(told(node), None)
                    self.assertEqual(node.output().count("cannot use etcd: "), 1, node.output())
                    self.assertNotIn("[warn]", node.output())  # libevent's own
                    self.assertLess(node.rss_bytes() - rss, 64 << 20)

    def test_a_watch_that_says_nonsense_or_nothing_is_done_without(self):
        etcd = Etcd()
        self.addCleanup(shutil.rmtree, etcd.folder, ignore_errors=True)
        self.addCleanup(etcd.stop)
        for answer in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                       chunked(b'{"result":{"created":true}}\n'),
                       chunked(b'{"result":{"created":true}}\n', b"x" * 3_000_000),
                       chunked(b"nonsense\n"), plain(b"gone", b"404 Not Found"), b""):
            with self.subTest(answer[:60]), Proxy(etcd.port, answer) as proxy, \
                    Node(proxy.address, name="proxied") as a:
                support.wait_until(lambda: told(a) is not None, "a list", PATIENCE_SECONDS)
                with Node(etcd.address, name="proxied") as b:
                    # What no watch told is read with the next look.
                    support.wait_until(lambda: b.text in told(a)[1], "the other node",
                                       AGREE_SECONDS + LEASE_SECONDS / 3)
                    support.wait_until(lambda: told(a) == told(b), "the same list", AGREE_SECONDS)
                self.assertNotIn("cannot use etcd", a.output())

    def test_a_watch_that_is_nothing_but_line_ends_keeps_no_client_waiting(self):
        etcd = Etcd()
        self.addCleanup(shutil.rmtree, etcd.folder, ignore_errors=True)
        self.addCleanup(etcd.stop)
        created = b'{"result":{"created":true}}\n'
        for part in (b"\n" * 2_000_000, created * 70_000, b"x\n" * 900_000):
            with self.subTest(part[:40]), Proxy(etcd.port, chunked(created, part)) as proxy, \
                    Node(proxy.address, name="lines") as node:
                support.wait_until(lambda: proxy.watches > 0, "a watch", PATIENCE_SECONDS)
                for _ in range(20):  # each on a connection of its own, which the same thread accepts
                    self.assertEqual(node.ask(b"mn\r\n"), b"MN\r\n")
                support.wait_until(lambda: proxy.watches > 2, "watches after it", PATIENCE_SECONDS)
                self.assertNotIn("cannot use etcd", node.output())


class Proxy:
    """etcd, but for its watch, which is answered with something else and then held."""

    def __init__(self, port, watch):
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    asked = self.request.recv(65536)
                    if asked.startswith(b"POST /v3/watch "):
                        proxy.watches += 1
                        self.request.sendall(watch)
                        if watch:
                            proxy.closing.wait(10)
                        return
                    while True:
                        head, _, body = asked.partition(b"\r\n\r\n")
                        length = re.search(rb"Content-Length: (\d+)", head)
                        if length and len(body) >= int(length.group(1)):
                            break
                        asked += self.request.recv(65536)
                    with socket.create_connection(("127.0.0.1", port)) as behind:
                        behind.sendall(asked)
                        while True:
                            answer = behind.recv(65536)
                            if not answer:
                                return
                            self.request.sendall(answer)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.watches = 0
        self.closing = threading.Event()
        self.server = Listener(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    __enter__ = Pretender.__enter__
    __exit__ = Pretender.__exit__


if __name__ == "__main__":
    support.main()
