"""A fleet from end to end: etcd, four larderds that announce themselves, and clients that keep
writing and reading while nodes join, leave, die and hang, etcd is away, and the network is cut.

Our client (fleet_load.cc) must read nothing stale, miss nothing but what a node took with it, and
have errors only for keys of nodes that are away. pylibmc, with a list of its own, and npm's
elasticache-client, which follows the same list, cannot be held to that: what they see is printed
beside it. Every value carries the version of its write.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import etcd
import support

LOAD = support.tool("fleet_load", "FLEET_LOAD")
NODEJS = support.need_program("node", "nodejs")
pylibmc = support.need_module("pylibmc", "python3-pylibmc")

INTERVAL_MS = 200  # between our client's questions for the list
# From a change of the list until our client follows it, what its question takes included.
FOLLOW_SECONDS = etcd.AGREE_SECONDS + INTERVAL_MS / 1000 + 1
LEAVE_SECONDS = etcd.GONE_SECONDS + FOLLOW_SECONDS
# Until a node that is back has been found usable again.
USABLE_SECONDS = 5
STEADY_SECONDS = 1.5
MOST_SECONDS = 100  # of the whole story


class Load:
    """fleet_load, whose lines come with the time at which they came."""

    def __init__(self, addresses, seconds, *options, interval_ms=INTERVAL_MS):
        self.process = subprocess.Popen(
            [LOAD, "--servers", ",".join(addresses), "--seconds", str(seconds),
             "--interval", str(interval_ms), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def last(self):
        support.wait_until(lambda: self.lines, "the first line of fleet_load")
        return self.lines[-1]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()


def between(before, after):
    """What came in between two lines."""
    errors = {}
    for node, kinds in after["errors"].items():
        old = before["errors"].get(node, {})
        grown = {kind: n - old.get(kind, 0) for kind, n in kinds.items() if n > old.get(kind, 0)}
        if grown:
            errors[node] = grown
    misses = {node: n - before["misses"].get(node, 0) for node, n in after["misses"].items()
              if n > before["misses"].get(node, 0)}
    return {"operations": after["operations"] - before["operations"], "errors": errors,
            "misses": misses, "moved_misses": after["moved_misses"] - before["moved_misses"]}


class Pylibmc(threading.Thread):
    """Writes and reads as fleet_load does, over a list that it was given."""

    def __init__(self, addresses):
        super().__init__(daemon=True)
        self.client = pylibmc.Client(addresses, behaviors={
            "ketama": True, "remove_failed": 2, "retry_timeout": 1, "dead_timeout": 2,
            "connect_timeout": 250, "send_timeout": 500_000, "receive_timeout": 500_000})
        self.figures = {"operations": 0, "errors": 0, "misses": 0, "stale": 0, "wrong": 0}
        self.ended = threading.Event()

    def run(self):
        rng = random.Random(1)
        tried = {}
        while not self.ended.wait(0.001):
            key = f"py-{rng.randrange(500)}"
            self.figures["operations"] += 1
            try:
                if key not in tried or rng.random() < 0.3:
                    tried[key] = tried.get(key, 0) + 1
                    self.client.set(key, f"{key}={tried[key]}")
                    continue
                value = self.client.get(key)
            except pylibmc.Error:
                self.figures["errors"] += 1
                continue
            if value is None:
                self.figures["misses"] += 1
            elif not value.startswith(key + "="):
                self.figures["wrong"] += 1
            elif value != f"{key}={tried[key]}":
                self.figures["stale"] += 1

    def stop(self):
        self.ended.set()
        self.join()
        return self.figures


class Story(unittest.TestCase):
    """Helpers for what follows."""

    def setUp(self):
        self.etcd = etcd.Etcd()
        self.addCleanup(shutil.rmtree, self.etcd.folder, ignore_errors=True)
        self.addCleanup(self.etcd.stop)
        self.figures = {}

    def node(self, *options, **more):
        node = etcd.Node(self.etcd.address, *options, **more)
        self.addCleanup(self.end, node)
        return node

    @staticmethod
    def end(node):
        with contextlib.suppress(OSError):
            node.process.send_signal(signal.SIGCONT)
        node.stop()

    def load(self, nodes, *options, seconds=MOST_SECONDS, **more):
        for node in nodes:  # a node has no list before etcd's first answer
            support.wait_until(lambda: etcd.told(node), f"a list from {node.announced}",
                               FOLLOW_SECONDS)
        load = Load([node.announced for node in nodes], seconds, *options, **more)
        self.addCleanup(load.stop)
        return load

    def event(self, name, load, change, nodes, seconds, usable=()):
        """Does `change`, waits until our client's list is that of `nodes` and what is asked of
        `usable` succeeds; then nothing fails any more. Returns what came meanwhile."""
        before = load.last()
        began = time.time()
        change()
        expected = sorted(node.announced for node in nodes)
        support.wait_until(
            lambda: sorted(load.last()["nodes"]) == expected,
            lambda: f"{name}: the list {expected} and not {load.last()['nodes']}", seconds)
        followed = time.time()

        def quiet():
            """No error of the nodes for as long as it takes to be steady."""
            end = load.last()
            start = next((line for line in reversed(load.lines)
                          if line["at"] <= end["at"] - STEADY_SECONDS), None)
            return (start is not None and start["at"] >= followed and
                    not between(start, end)["errors"])
        support.wait_until(quiet, lambda: f"{name}: no more errors; {load.last()}",
                           USABLE_SECONDS + STEADY_SECONDS)
        came = between(before, load.last())
        failed = sum(sum(kinds.values()) for kinds in came["errors"].values())
        self.figures[name] = {
            "followed after s": round(followed - began, 2),
            "steady after s": round(time.time() - began - STEADY_SECONDS, 2),
            "operations": came["operations"], "failed": failed,
            "failed at": came["errors"], "misses": came["misses"],
            "misses of keys that moved": came["moved_misses"]}
        return came

    def assert_only(self, came, *nodes):
        """Errors and misses concern the keys of these alone."""
        addresses = {node.announced for node in nodes}
        self.assertLessEqual(set(came["errors"]), addresses, came)
        self.assertLessEqual(set(came["misses"]), addresses, came)

    def assert_nothing_stale(self, load):
        end = load.last()
        self.assertEqual((end["stale"], end["wrong"]), (0, 0), end)
        self.assertGreater(end["operations"], 1000)
        self.figures["our client"] = {
            "operations": end["operations"], "stale": end["stale"], "wrong": end["wrong"],
            "errors": sum(sum(kinds.values()) for kinds in end["errors"].values())}

    def show(self):
        for name, figures in self.figures.items():
            print(f"  {name}: {json.dumps(figures)}")


class RollingRestart(Story):
    """Each node of four is stopped, drains and is started again, under a client's default options.

    By hand, with the interval and the drain that clients and servers have by default (6 minutes):
    LARDER_POLL_SECONDS=60 LARDER_DRAIN_SECONDS=65 tests/client/test_fleet.py RollingRestart
    """

    def test_no_call_fails_and_no_client_flushes_a_node(self):
        poll_seconds = int(os.environ.get("LARDER_POLL_SECONDS", 1))
        drain_seconds = int(os.environ.get("LARDER_DRAIN_SECONDS", 3))
        options = ("--cluster-drain", drain_seconds)
        nodes = [self.node(*options) for _ in range(4)]
        load = self.load(nodes, "--defaults", interval_ms=1000 * poll_seconds,
                         seconds=4 * (drain_seconds + 10) + 2 * poll_seconds + 20)
        expected = sorted(node.announced for node in nodes)

        def all_are_followed():
            return sorted(load.last()["nodes"]) == expected
        support.wait_until(all_are_followed, "all nodes", FOLLOW_SECONDS + poll_seconds)
        before = load.last()
        for i, node in enumerate(nodes):
            node.process.terminate()
            self.assertEqual(node.process.wait(drain_seconds + support.STOP_TIMEOUT_SECONDS), 0)
            nodes[i] = self.node(*options, port=node.port)
        time.sleep(poll_seconds + 1)
        support.wait_until(all_are_followed, "all nodes again", FOLLOW_SECONDS)
        came = between(before, load.last())
        self.assertEqual(came["errors"], {})
        self.assert_nothing_stale(load)
        flushes = [int(node.stat("cmd_flush")) for node in nodes]
        self.assertEqual(flushes, [0] * 4)
        self.figures["rolling restart"] = {
            "poll s": poll_seconds, "drain s": drain_seconds, "operations": came["operations"],
            "errors": 0, "misses": sum(came["misses"].values()), "flushes by clients": flushes}
        self.show()


class Fleet(Story):
    def test_a_fleet_changes_under_load(self):
        a, b, c = (self.node() for _ in range(3))
        load = self.load([a, b])
        d_port = support.free_port()
        others = Pylibmc([node.announced for node in (a, b, c)] + [f"127.0.0.1:{d_port}"])
        others.start()
        script = subprocess.Popen(
            [NODEJS, os.path.join(support.HERE, "npm", "elasticache_load.js"),
             json.dumps({"folder": FOLDER, "servers": [a.address], "seconds": 40})],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(script.stdout.close)
        self.addCleanup(script.wait)
        self.addCleanup(script.kill)

        came = self.event("start", load, lambda: None, [a, b, c], FOLLOW_SECONDS)
        self.assert_only(came)
        nodes = {}

        def join():
            nodes["d"] = self.node(port=d_port)
        came = self.event("a node joins", load, join, [a, b, c, d_of(d_port)], FOLLOW_SECONDS)
        self.assert_only(came, nodes["d"])

        came = self.event("a node leaves", load, lambda: nodes["d"].stop(), [a, b, c],
                          FOLLOW_SECONDS)
        self.assert_only(came, nodes["d"])

        came = self.event("kill -9", load, c.process.kill, [a, b], LEAVE_SECONDS)
        self.assert_only(came, c)
        c.process.wait()
        c.stop()

        again = []
        came = self.event("it starts again", load, lambda: again.append(self.node(port=c.port)),
                          [a, b, c], FOLLOW_SECONDS)
        self.assert_only(came, c)

        came = self.event("SIGSTOP", load, lambda: b.process.send_signal(signal.SIGSTOP), [a, c],
                          LEAVE_SECONDS)
        self.assert_only(came, b)
        came = self.event("SIGCONT", load, lambda: b.process.send_signal(signal.SIGCONT),
                          [a, b, c], FOLLOW_SECONDS + etcd.LEASE_SECONDS)
        self.assert_only(came, b)

        def etcd_goes_and_comes():
            self.etcd.stop()
            time.sleep(2 * etcd.LEASE_SECONDS)
            self.etcd.start()
        came = self.event("etcd is away for two leases", load, etcd_goes_and_comes, [a, b, c], 1)
        self.assert_only(came)

        self.assert_nothing_stale(load)
        self.figures["pylibmc"] = others.stop()
        said, _ = script.communicate(timeout=MOST_SECONDS)
        self.assertEqual(script.returncode, 0, said)
        self.figures["elasticache-client"] = json.loads(said.splitlines()[-1])
        self.show()
        for name in ("pylibmc", "elasticache-client"):
            self.assertEqual(self.figures[name]["wrong"], 0)
            self.assertGreater(self.figures[name]["operations"], 100)
        versions = self.figures["elasticache-client"]["versions"]
        self.assertEqual(versions, sorted(versions))


def d_of(port):
    """Stands for a node that is not there yet."""
    class Announced:
        announced = f"127.0.0.1:{port}"
    return Announced


def cannot_make_networks():
    if os.geteuid() != 0:
        return "root alone makes network namespaces"
    name = f"larder-{os.getpid()}"
    made = support.run(["ip", "netns", "add", name])
    if made.returncode != 0:
        return "network namespaces cannot be made here: " + made.stdout
    support.run(["ip", "netns", "del", name])
    return ""


@unittest.skipIf(cannot_make_networks(), "network namespaces cannot be made here")
class Partition(Story):
    """One node in a network of its own, whose cable is pulled."""

    def test_a_node_is_cut_off_and_comes_back(self):
        name = f"larder-{os.getpid()}"
        outside, inside = f"lo{os.getpid()}", f"li{os.getpid()}"
        subnet = f"10.213.{os.getpid() % 250}"

        def ip(*words):
            done = support.run(["ip", *words])
            self.assertEqual(done.returncode, 0, done.stdout)
        ip("netns", "add", name)
        self.addCleanup(support.run, ["ip", "netns", "del", name])
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
        ip("addr", "add", f"{subnet}.1/24", "dev", outside)
        ip("link", "set", outside, "up")
        ip("-n", name, "addr", "add", f"{subnet}.2/24", "dev", inside)
        ip("-n", name, "link", "set", inside, "up")

        # etcd listens beside loopback on the cable's end.
        self.etcd.stop()
        self.etcd.also = (f"{subnet}.1",)
        self.etcd.start()
        a, b = self.node(), self.node()
        far = etcd.Node(f"{subnet}.1:{self.etcd.port}", host=f"{subnet}.2",
                        inside=["ip", "netns", "exec", name])
        self.addCleanup(self.end, far)
        load = self.load([a, b])
        self.event("start", load, lambda: None, [a, b, far], FOLLOW_SECONDS)
        came = self.event("its network is cut", load,
                          lambda: ip("link", "set", outside, "down"), [a, b], LEAVE_SECONDS)
        self.assert_only(came, far)
        came = self.event("and whole again", load, lambda: ip("link", "set", outside, "up"),
                          [a, b, far], FOLLOW_SECONDS + etcd.LEASE_SECONDS + 5)
        self.assert_only(came, far)
        self.assert_nothing_stale(load)
        self.show()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-npm-") as FOLDER:
        support.install_npm_packages(FOLDER)
        support.main()
