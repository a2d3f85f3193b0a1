#!/usr/bin/env python3
"""`larder copy` beside clients that write and delete: no value of the source hides a newer one.

LARDER names the program, LARDERD the server, LARDER_FAULTS_LIBRARY the library of
tests/preload/faults.cc.
"""

import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import threading
import unittest

from test_larder import LARDER, MEMCACHED, PATIENCE_SECONDS, larder
from test_larder_scripts import (Case, FakeServer, FaultsCase, line_of_key, value_behind,
                                 with_opaque)
import support

OLD = b"OLD"
with open(LARDER, "rb") as program:
    IS_SANITIZED = b"__asan_init" in program.read()
BATCH = 128  # items that larder reads or adds at once


def binary(opcode, key=b"", extras=b"", value=b""):
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                       len(extras) + len(key) + len(value), 0, 0) + extras + key + value


SET = struct.pack("!II", 0, 0)
COUNT = struct.pack("!QQI", 1, 5, 0)
LONG_AGO = struct.pack("!I", 2592001)  # 1970


class Source:
    """Items `keys`, all with one value; on_read(key) is called before one is read."""

    def __init__(self, case, keys, on_read, value=OLD):
        self.keys = keys
        self.on_read = on_read
        self.value = value
        self.address = case.fake(self.reply)

    def reply(self, words, _):
        if words[0] == b"lru_crawler":
            return b"".join(line_of_key(key) for key in self.keys) + b"END\r\n"
        if words[0] == b"mg":
            self.on_read(words[1])
            return b"VA %d f0 c1\r\n%s\r\n" % (len(self.value), self.value)
        return b"HD\r\n"


class Target(FakeServer):
    """Answers add, md and version, and shows adds and deletes to watchers, as long as it does.

    misbehave(line, shown)  is called for each line before it is sent, with how many were shown; it
                            returns the bytes to be sent in its place, None to close
    greeting                of a watch; None: no answer
    """

    def __init__(self, case, misbehave=None, greeting=b"OK\r\n"):
        self.misbehave = misbehave or (lambda line, shown: line)
        self.greeting = greeting
        self.items = {}
        self.deleted = []
        self.shown = 0
        self.watchers = []
        self.lock = threading.Lock()
        super().__init__()
        case.addCleanup(self.stop)

    def show(self, line):
        for client in self.watchers:
            said = self.misbehave(line, self.shown)
            try:
                if said is None:
                    client.shutdown(socket.SHUT_RDWR)
                else:
                    client.sendall(said)
            except OSError:
                pass  # larder has left
        self.shown += 1

    def serve(self, client):
        try:
            with client.makefile("rb") as lines:
                for line in lines:
                    words = line.split()
                    value = value_behind(words, lines)
                    opaques = [word for word in words[2:] if word.startswith(b"O")]
                    with self.lock:
                        answer = self.answer(client, words, value)
                    client.sendall(with_opaque(answer, opaques))
                client.shutdown(socket.SHUT_RDWR)  # as a server does at the end of what it is sent
        except OSError:
            pass

    def answer(self, client, words, value):
        if words[0] == b"watch":
            if self.greeting == b"OK\r\n":
                self.watchers.append(client)
            return self.greeting or b""
        if words[0] == b"mn":
            return b"MN\r\n"
        if words[:2] == [b"md", b"larder-barrier"]:
            return b"NF\r\n"
        if words[0] == b"version":
            return b"VERSION 1\r\n"
        if words[0] == b"add":
            if words[1] in self.items:
                return b"NOT_STORED\r\n"
            self.items[words[1]] = value
            self.show(b"ts=1.000000 gid=1 type=item_store key=%s status=stored cmd=add ttl=0 clsid=1"
                      b" cfd=9 size=3\n" % words[1])
            return b"STORED\r\n"
        if words[0] == b"md":
            self.deleted.append(words[1])
            found = self.items.pop(words[1], None)
            self.show(b"ts=1.000000 gid=1 type=deleted key=%s cmd=md clsid=1 cfd=9 size=3\n"
                      % words[1])
            return b"HD\r\n" if found else b"NF\r\n"
        return b"ERROR\r\n"


class Copies(Case):
    def binary(self, server, *requests):
        """Answers to all of them have come, and to quiet ones before, when it returns."""
        with server.connect() as plain:
            plain.sendall(b"".join(requests) + binary(0x0a))
            answer = b""
            while not (len(answer) >= 24 and answer[-24:-22] == b"\x81\x0a"):
                more = plain.recv(65536)
                self.assertTrue(more)
                answer += more

    def value(self, server, key):
        answer = server.ask(b"get %s\r\n" % key, b"END\r\n")
        return answer.split(b"\r\n")[1] if answer.startswith(b"VALUE") else None

    def copy(self, source, *targets, words=(), **more):
        addresses = [target if isinstance(target, str) else target.address for target in targets]
        return larder("copy", "--from", source.address, "--to", ",".join(addresses), *words, **more)


# Each leaves nothing, or something new, where the key was not there before.
CHANGES_TO_NOTHING = {
    "delete of nothing": [b"delete k\r\n"],
    "quiet delete of nothing": [b"delete k noreply\r\nmn\r\n"],
    "md of nothing": [b"md k\r\n"],
    "quiet md of nothing": [b"md k q\r\nmn\r\n"],
    "md I of nothing": [b"md k I\r\n"],
    "md of nothing in base64": [b"md aw== b\r\n"],
    "binary delete of nothing": [(binary(0x04, b"k"),)],
    "binary deleteq of nothing": [(binary(0x14, b"k"),)],
    "set and delete": [b"set k 0 0 1\r\n1\r\n", b"delete k\r\n"],
    "set and binary delete": [b"set k 0 0 1\r\n1\r\n", (binary(0x04, b"k"),)],
    "binary setq and deleteq": [(binary(0x11, b"k", SET, b"1"), binary(0x14, b"k"))],
    "add and md": [b"add k 0 0 1\r\n1\r\n", b"md k\r\n"],
    "binary counter and delete": [(binary(0x05, b"k", COUNT), binary(0x04, b"k"))],
    "ma with N and md": [b"ma k N0\r\n", b"md k\r\n"],
    "a set that has expired": [b"set k 0 -1 1\r\n1\r\n"],
    "an add that has expired": [b"add k 0 -1 1\r\n1\r\n"],
    "an ms that has expired": [b"ms k 1 T-1\r\n1\r\n"],
    "set and touch": [b"set k 0 0 1\r\n1\r\n", b"touch k -1\r\n"],
    "touch of nothing": [b"touch k -1\r\n"],
    "set and binary touch": [b"set k 0 0 1\r\n1\r\n", (binary(0x1c, b"k", LONG_AGO),)],
    "set and gat": [b"set k 0 0 1\r\n1\r\n", b"gat -1 k\r\n"],
    "set and mg with T": [b"set k 0 0 1\r\n1\r\n", b"mg k T-1\r\n"],
    "a set that is too large": [b"set k 0 0 1048577\r\n" + b"x" * 1048577 + b"\r\n"],
}
FLUSHES = {
    "flush_all": [b"flush_all\r\n"],
    "flush_all noreply": [b"flush_all noreply\r\nmn\r\n"],
    "binary flush": [(binary(0x08),)],
    "binary flushq": [(binary(0x18),)],
}


class Races(Copies):
    def perform(self, server, steps):
        for step in steps:
            if isinstance(step, tuple):
                self.binary(server, *step)
            else:
                server.ask(step)

    def test_what_is_removed_between_read_and_add_does_not_come_back(self):
        for name, steps in CHANGES_TO_NOTHING.items():
            with self.subTest(name), support.Server() as target:
                source = Source(self, [b"j", b"k", b"l"],
                                lambda key: key == b"k" and self.perform(target, steps))
                status, text, error = self.copy(source, target, words=["--json"])
                self.assertEqual((status, error), (0, ""))
                self.assertEqual([self.value(target, key) for key in (b"j", b"k", b"l")],
                                 [OLD, None, OLD])
                counts = json.loads(text)
                self.assertEqual(counts["stored"] - counts["deleted_again"], 2)

    def test_what_is_removed_long_before_its_read_does_not_come_back(self):
        keys = [b"first"] + [b"k%d" % i for i in range(3 * BATCH)]
        with support.Server() as target:
            source = Source(self, keys, lambda key: key == b"first" and self.perform(
                target, [b"delete k%d\r\n" % (3 * BATCH - 1)]))
            status, text, error = self.copy(source, target)
            self.assertEqual((status, error), (0, ""))
            self.assertIn(b"%d stored, 0 were there, 0 expired, 0 refused, 1 had changed"
                          % (3 * BATCH), text)
            self.assertIsNone(self.value(target, keys[-1]))

    def test_what_changes_after_its_add_is_as_it_was_changed_or_gone(self):
        for name, steps, left in (
                ("set", [b"set k0 0 0 1\r\n1\r\n"], (b"1", None)),
                ("append", [b"append k0 0 0 1\r\n1\r\n"], (b"OLD1", None)),
                ("ms", [b"ms k0 1\r\n1\r\n"], (b"1", None)),
                ("delete", [b"delete k0\r\n"], (None,)),
                ("binary delete", [(binary(0x04, b"k0"),)], (None,)),
                ("touch", [b"touch k0 -1\r\n"], (None,))):
            keys = [b"k%d" % i for i in range(2 * BATCH)]
            with self.subTest(name), support.Server() as target:
                source = Source(self, keys, lambda key, steps=steps, target=target:
                                key == keys[-1] and self.perform(target, steps))
                status, _, error = self.copy(source, target)
                self.assertEqual((status, error), (0, ""))
                self.assertIn(self.value(target, b"k0"), left)
                self.assertEqual(self.value(target, b"k1"), OLD)

    def test_a_key_that_is_changed_often_is_deleted_once(self):
        keys = [b"k%d" % i for i in range(4 * BATCH)]
        with support.Server() as target:
            def change(_):
                target.ask(b"set k0 0 0 1\r\n1\r\n")
            source = Source(self, keys, lambda key: key in keys[2 * BATCH:] and change(key))
            status, text, _ = self.copy(source, target, words=["--json"])
            self.assertEqual((status, json.loads(text)["deleted_again"]), (0, 1))
            self.assertEqual(self.value(target, b"k0"), b"1")

    def test_keys_of_one_hash_are_told_apart(self):
        # std::hash of libstdc++ is the same for both.
        keys = [b"session:ujzde8gxd6ncf10e", b"session:o67s1hi7-&c]60\\I"]
        with support.Server() as target:
            source = Source(self, [*keys, b"z"], lambda read: read == b"z" and self.perform(
                target, [b"delete " + key + b"\r\n" for key in keys]))
            status, _, error = self.copy(source, target)
            self.assertEqual((status, error), (0, ""))
            self.assertEqual([self.value(target, key) for key in keys], [None, None])

    def test_an_item_that_was_invalidated_does_not_become_fresh(self):
        with support.Server() as target:
            source = Source(self, [b"k"], lambda _: self.perform(
                target, [b"set k 0 0 1\r\n1\r\n", b"md k I T0\r\n"]))
            self.assertEqual(self.copy(source, target)[0], 0)
            self.assertIn(target.ask(b"mg k v\r\n", b"\r\n").split(b" ")[0], (b"VA", b"EN\r\n"))
            self.assertIn(self.value(target, b"k"), (b"1", None))

    def test_keys_of_any_bytes_are_recognized(self):
        for key in (b"a%b", b"\xc3\xa9", b"x" * 250, b"a=b", b"key=1"):
            with self.subTest(key), support.Server() as target:
                # metadump has it %-coded.
                coded = b"".join(b"%%%02X" % byte for byte in key)
                source = Source(self, [coded], lambda _, key=key, target=target: self.perform(
                    target, [b"delete " + key + b"\r\n"]))
                self.assertEqual(self.copy(source, target)[0], 0)
                self.assertIsNone(self.value(target, key))

    def test_a_flush_takes_what_was_added_with_it(self):
        keys = [b"k%d" % i for i in range(3 * BATCH)]
        for name, steps in FLUSHES.items():
            for at in (BATCH // 2, 2 * BATCH):
                with self.subTest(name, at=at), support.Server() as target:
                    source = Source(self, keys, lambda key, at=at, steps=steps, target=target:
                                    key == keys[at] and self.perform(target, steps))
                    status, _, error = self.copy(source, target)
                    self.assertEqual(status, 4)
                    self.assertRegex(error, rf"^larder: {target.address} was flushed meanwhile.*\n$")
                    self.assertEqual([key for key in keys if self.value(target, key)], [])

    def test_memcached_shows_what_it_can(self):
        for name, steps in {
                "set and delete": [b"set k 0 0 1\r\n1\r\n", b"delete k\r\n"],
                "set and binary delete": [b"set k 0 0 1\r\n1\r\n", (binary(0x04, b"k"),)],
                "add and md": [b"add k 0 0 1\r\n1\r\n", b"md k\r\n"],
                "a set that has expired": [b"set k 0 -1 1\r\n1\r\n"]}.items():
            with self.subTest(name), support.Server(command=[MEMCACHED]) as target:
                source = Source(self, [b"j", b"k", b"l"],
                                lambda key: key == b"k" and self.perform(target, steps))
                status, _, error = self.copy(source, target)
                self.assertEqual((status, error), (0, ""))
                self.assertEqual([self.value(target, key) for key in (b"j", b"k", b"l")],
                                 [OLD, None, OLD])

    def test_a_flush_of_memcached_is_seen_in_its_counters(self):
        keys = [b"k%d" % i for i in range(BATCH + 1)]
        with support.Server(command=[MEMCACHED]) as target:
            source = Source(self, keys, lambda key: key == keys[-1] and self.perform(
                target, [b"flush_all\r\n"]))
            status, _, error = self.copy(source, target)
            self.assertEqual(status, 4)
            self.assertIn("was flushed meanwhile", error)
            self.assertEqual([key for key in keys if self.value(target, key)], [])


class Load(Copies):
    """Clients that write and delete on the target, with all their might."""

    KEYS = 20_000

    def write(self, target, number, stop, touched, failures):
        """touched  gets key -> whether the key was left with nothing, when that is acknowledged"""
        chance = random.Random(number)
        try:
            with target.connect() as plain, target.connect() as other:
                lines = plain.makefile("rb")
                while not stop.is_set():
                    # Each thread has its keys.
                    key = b"key:%d" % (chance.randrange(self.KEYS // 4) * 4 + number)
                    way = chance.randrange(8)
                    if way == 0:
                        plain.sendall(b"set %s 0 0 3\r\nNEW\r\n" % key)
                    elif way == 1:
                        plain.sendall(b"ms %s 3\r\nNEW\r\n" % key)
                    elif way == 2:
                        plain.sendall(b"delete %s\r\n" % key)
                    elif way == 3:
                        plain.sendall(b"md %s\r\n" % key)
                    elif way in (4, 5):
                        other.sendall(binary((0x04, 0x14)[way - 4], key) + binary(0x0a))
                        answer = b""
                        while not answer[-24:].startswith(b"\x81\x0a"):
                            answer += other.recv(4096)
                    elif way == 6:
                        plain.sendall(b"set %s 0 0 3\r\nNEW\r\nappend %s 0 0 3\r\nNEW\r\n" % (key, key))
                        lines.readline()
                    else:
                        plain.sendall(b"touch %s -1\r\n" % key)
                    if way not in (4, 5):
                        lines.readline()
                    touched.add(key)
        except (OSError, ValueError) as error:
            failures.append(error)

    def run_beside_writers(self, source, target):
        stop = threading.Event()
        touched = [set() for _ in range(4)]
        failures = []
        process = subprocess.Popen(
            [LARDER, "copy", "--from", source.address, "--to", target.address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # What changes before the watch is open, copy cannot see.
        support.wait_until(lambda: process.poll() is not None or target.stat("log_watchers") == "1",
                           "a watch")
        threads = [threading.Thread(target=self.write, args=(target, i, stop, touched[i], failures))
                   for i in range(4)]
        for thread in threads:
            thread.start()
        text, error = process.communicate(timeout=PATIENCE_SECONDS)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        return process.returncode, text, error, set().union(*touched)

    def test_no_key_holds_a_value_older_than_a_change(self):
        with support.Server() as source:
            with source.connect() as plain:
                for i in range(self.KEYS):
                    plain.sendall(b"set key:%d 0 0 3 noreply\r\nOLD\r\n" % i)
                plain.sendall(b"mn\r\n")
                plain.recv(10)
            with support.Server("-o", "worker_logbuf_size=4096,watcher_logbuf_size=8192") as target:
                status, text, error, touched = self.run_beside_writers(source, target)
                self.assertEqual((status, error), (0, b""), text)
                self.assertGreater(len(touched), 100)
                stale = [key for key in sorted(touched) if OLD in (self.value(target, key) or b"")]
                self.assertEqual(stale, [])
                copied = int(target.stat("curr_items"))
                self.assertGreater(copied, self.KEYS // 3)


class Failures(Copies):
    KEYS = [b"k%d" % i for i in range(3 * BATCH)]

    def source(self, on_read=lambda key: None):
        return Source(self, self.KEYS, on_read)

    def assert_undone(self, target, status, error, sentence):
        self.assertEqual(status, 4)
        self.assertRegex(error, rf"^larder: [^\n]*{target.address}[^\n]*\n$")
        self.assertIn(sentence, error)
        self.assertEqual(target.items, {})

    def test_a_watch_that_fails_takes_what_was_added_with_it(self):
        def after(count, said):
            return lambda line, shown: said if shown == count else line
        for name, misbehave, sentence in (
                ("skipped", after(200, b"skipped=1\n"), "has left out lines"),
                ("skipped, of old", after(200, b"[skipped: 1]\n"), "has left out lines"),
                ("at the first", after(0, b"skipped=7\n"), "has left out lines"),
                ("closed", after(200, None), "has ended"),
                ("closed at the end", after(3 * BATCH + 1, None), "has ended"),
                ("garbage", after(200, b"\0\xff\n"), "is no line of it"),
                ("half a line", after(200, b"ts=1.0 gid=5 type=item_store key=a\n"), "no line of it"),
                ("a bad key", after(200, b"ts=1.0 gid=5 type=deleted key=%4 cmd=md\n"), "no line of"),
                ("an unknown type", after(200, b"ts=1.0 gid=5 type=dexeted key=k1 cmd=md\n"),
                 "no line of it"),
                ("an error", after(200, b"SERVER_ERROR out of memory\r\n"), "has ended"),
                ("flushed", after(200, b"ts=1.0 gid=5 type=flush_all cfd=-1\n"), "was flushed"),
                ("a line is missing", after(200, b""), "does not show what copy stored"),
                ("the marker is missing", after(3 * BATCH + 1, b""),
                 "does not show what copy stored")):
            with self.subTest(name):
                target = Target(self, misbehave)
                status, _, error = self.copy(self.source(), target, words=["--timeout", "2"])
                self.assert_undone(target, status, error, sentence)

    def test_lines_that_come_late_do_not_stop_it(self):
        kept = []

        def late(line, shown):
            """Lines of the first batch come with the first one of the next."""
            kept.append(line)
            if shown < BATCH:
                return b""
            said = b"".join(kept)
            kept.clear()
            return said

        target = Target(self, late)
        status, _, error = self.copy(self.source(), target, words=["--timeout", "2"])
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(set(target.items), set(self.KEYS))

    def test_a_key_that_a_list_has_twice_is_added_once(self):
        twice = [key for key in self.KEYS for _ in range(2)] + self.KEYS
        target = Target(self)
        status, text, error = self.copy(Source(self, twice, lambda key: None), target)
        self.assertEqual((status, error), (0, ""), text)
        self.assertEqual(set(target.items), set(self.KEYS))
        self.assertEqual([key for key in target.deleted if key in self.KEYS], [])

    def test_without_a_watch_nothing_is_added(self):
        for greeting, status, sentence in (
                (None, 4, "is too slow to answer"),
                (b"ERROR\r\n", 6, "ERROR"),
                (b"CLIENT_ERROR watch commands not allowed\r\n", 6, "not allowed"),
                (b"WATCHER_TOO_MANY log watcher limit reached\r\n", 6, "WATCHER_TOO_MANY"),
                (b"\0\xff\r\n", 6, "")):
            with self.subTest(greeting):
                target = Target(self, greeting=greeting)
                read = []
                found, text, error = self.copy(self.source(read.append), target,
                                               words=["--timeout", "0.5"])
                self.assertEqual(found, status, error)
                self.assertIn(sentence, error)
                self.assertEqual((target.items, read), ({}, []))
                self.assertTrue(text.startswith(b"0 stored"), text)

    def test_a_target_without_a_watch_costs_its_own_items(self):
        lame = Target(self, lambda line, shown: b"skipped=1\n" if shown == 20 else line)
        with support.Server() as good:
            status, text, error = self.copy(self.source(), good, lame, words=["--json"])
            self.assert_undone(lame, status, error, "has left out lines")
            counts = json.loads(text)
            self.assertEqual(int(good.stat("curr_items")),
                             counts["stored"] - counts["deleted_again"])
            self.assertGreater(int(good.stat("curr_items")), BATCH)

    def test_a_change_counts_on_the_node_of_its_key_alone(self):
        others = None

        def delete_elsewhere(_):
            for key in self.KEYS[:BATCH]:
                others[key].ask(b"delete %s\r\n" % key)
        with support.Server() as first, support.Server() as second:
            lines = larder("where", *(key.decode() for key in self.KEYS), "--servers",
                           f"{first.address},{second.address}")[1].splitlines()
            others = {key: second if line.endswith(first.address.encode()) else first
                      for key, line in zip(self.KEYS, lines)}
            source = self.source(lambda key: key == self.KEYS[-1] and delete_elsewhere(key))
            status, text, error = self.copy(source, first, second, words=["--json"])
            self.assertEqual((status, error), (0, ""))
            self.assertEqual(json.loads(text)["deleted_again"], 0)
            self.assertEqual(int(first.stat("curr_items")) + int(second.stat("curr_items")),
                             len(self.KEYS))

    def test_a_watch_that_ends_behind_the_end_of_copy_changes_nothing(self):
        target = Target(self)
        large = self.KEYS[0]
        normal = target.answer
        target.answer = lambda client, words, value: (
            b"SERVER_ERROR object too large for cache\r\n" if words[:2] == [b"add", large] else
            normal(client, words, value))
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        # It has finished, and waits for its first complaint to be read.
        process = subprocess.Popen(
            [LARDER, "copy", "--from", self.source().address, "--to", target.address],
            stdout=subprocess.PIPE, stderr=writer)
        os.close(writer)
        self.assertIn(b"stored", process.stdout.readline())
        for client in target.watchers:
            client.shutdown(socket.SHUT_RDWR)
        support.wait_until(lambda: target.watchers[0].recv(1, socket.MSG_DONTWAIT) == b"",
                           "the end of the watch")
        said = b""
        while more := os.read(reader, 65536):
            said += more.lstrip(b"x")
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE_SECONDS), 6, said)
        self.assertNotIn(b"has ended", said)
        self.assertEqual(len(target.items), len(self.KEYS) - 1)

    def keys_by_target(self, keys, *targets):
        lines = larder("where", *(key.decode() for key in keys), "--servers",
                       ",".join(target.address for target in targets))[1].splitlines()
        return [[line.split()[0] for line in lines if line.endswith(b" " + target.address.encode())]
                for target in targets]

    def start_copy(self, source, *targets, timeout="100"):
        process = subprocess.Popen(
            [LARDER, "copy", "--from", source.address, "--to",
             ",".join(target.address for target in targets), "--timeout", timeout],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def has_left(self, target):
        """Whether copy has closed its watch."""
        try:
            return target.watchers[0].recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False

    def lose(self, target):
        """Returns once copy has taken it for lost: it then closes its watch."""
        for watcher in target.watchers:
            watcher.sendall(b"skipped=1\n")
        support.wait_until(lambda: self.has_left(target), "the end of the watch", PATIENCE_SECONDS)

    def left_after(self, seconds, target):
        """How many items it has, as soon as there are none."""
        try:
            support.wait_until(lambda: not target.items, "the deletes", seconds)
        except AssertionError:
            pass
        return len(target.items)

    def source_that_hangs_up(self, first, second, on_read):
        """Behind each value of the keys `second`; on_read(n) is called before the n-th of them."""
        reads = []

        def reply(words, _):
            if words[0] == b"lru_crawler":
                return b"".join(line_of_key(key) for key in first + second) + b"END\r\n"
            said = b"VA %d f0 c1\r\n%s\r\n" % (len(OLD), OLD)
            if words[1] in first:
                return said
            reads.append(words[1])
            on_read(len(reads))
            return (said,)
        source = Source(self, [], None)
        source.address = self.fake(reply)
        return source, reads

    def test_a_signal_ends_the_reads_of_a_source_that_hangs_up(self):
        target = Target(self)
        source, reads = self.source_that_hangs_up(
            self.KEYS[:BATCH], self.KEYS[BATCH:2 * BATCH],
            lambda number: number == 3 and process.send_signal(signal.SIGTERM))
        process = self.start_copy(source, target)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, target.items), (4, {}), error)
        self.assertIn(b"copy was interrupted", error)
        self.assertLess(len(reads), BATCH // 2)

    def test_a_lost_target_does_not_wait_for_a_source_that_hangs_up(self):
        lame, good = Target(self), Target(self)
        left = []

        def on_read(number):
            if number == 3:
                left.append(len(lame.items))
                self.lose(lame)
            if number == BATCH // 4:
                left.append(len(lame.items))
        of_lame, of_good = self.keys_by_target(self.KEYS, lame, good)
        source, _ = self.source_that_hangs_up(
            of_lame[:BATCH // 2] + of_good[:BATCH // 2], of_good[BATCH // 2:][:BATCH], on_read)
        process = self.start_copy(source, lame, good)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 4, error)
        self.assertGreater(left[0], 0)
        self.assertEqual(left[1], 0)

    def target_that_refuses_one_item_a_connection(self, on_refusal):
        """on_refusal(n) is called before the n-th of them."""
        target = Target(self)
        normal = target.answer
        refused = []

        def answer(client, words, value):
            if words[0] not in (b"add", b"version"):
                return normal(client, words, value)
            if client not in refused:
                refused.append(client)
                on_refusal(len(refused))
                client.sendall(b"SERVER_ERROR object too large for cache\r\n")
                client.shutdown(socket.SHUT_WR)
            return b""
        target.answer = answer
        return target, refused

    def test_a_signal_ends_the_adds_to_a_target_that_refuses_and_closes(self):
        target, refused = self.target_that_refuses_one_item_a_connection(
            lambda number: number == 3 and process.send_signal(signal.SIGTERM))
        process = self.start_copy(Source(self, self.KEYS[:BATCH], lambda key: None), target)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, target.items), (6, {}), error)
        self.assertIn(b"copy was interrupted", error)
        self.assertLess(len(refused), BATCH // 2)

    def test_a_lost_target_does_not_wait_for_one_that_refuses_and_closes(self):
        lame = Target(self)
        left = []

        def on_refusal(number):
            if number == 3:
                left.append(len(lame.items))
                self.lose(lame)
            if number == 5:
                left.append(len(lame.items))
        target, _ = self.target_that_refuses_one_item_a_connection(on_refusal)
        process = self.start_copy(Source(self, self.KEYS[:BATCH], lambda key: None), target, lame)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 6, error)
        self.assertGreater(left[0], 0)
        self.assertEqual(left[1], 0)

    def test_a_lost_target_does_not_wait_for_a_watch_that_is_behind(self):
        lame, slow = Target(self), Target(self)
        keys = [b"k%d-" % i + b"x" * 240 for i in range(4 * BATCH)]
        of_lame, of_slow = self.keys_by_target(keys, lame, slow)
        kept = []
        lock = threading.Lock()

        def late(line, _):
            """More than copy stores unshown, until the other target is undone."""
            with lock:
                kept.append(line)
                if not lame.deleted or lame.items:
                    return b""
                said = b"".join(kept)
                kept.clear()
                return said
        slow.misbehave = late
        normal, normal_of_lame = slow.answer, lame.answer

        def answer(client, words, value):
            if words[:2] == [b"add", of_slow[0]]:
                support.wait_until(lambda: len(lame.items) == 8, "adds", PATIENCE_SECONDS)
                self.lose(lame)
            return normal(client, words, value)

        def answer_of_lame(client, words, value):
            said = normal_of_lame(client, words, value)
            if words[0] == b"md" and not lame.items and slow.items:
                for watcher in slow.watchers:
                    watcher.sendall(late(b"", 0))
            return said
        slow.answer, lame.answer = answer, answer_of_lame
        source = Source(self, of_lame[:8] + of_slow[:BATCH - 8], lambda key: None)
        status, text, error = self.copy(source, lame, slow, words=["--timeout", "20"])
        self.assertEqual((status, lame.items), (4, {}), error)
        self.assertNotIn("does not show", error)
        self.assertEqual(len(slow.items), BATCH - 8, text)

    def test_a_target_that_refuses_deletes_gets_nothing(self):
        target = Target(self)
        normal = target.answer
        target.answer = lambda client, words, value: (
            b"ERROR\r\n" if words[0] == b"md" else normal(client, words, value))
        status, text, error = self.copy(self.source(), target)
        self.assertEqual((status, target.items), (6, {}), text)
        self.assertRegex(error, rf"^larder: {target.address} says: ERROR[^\n]*"
                                r"use dump and load --add --dialect classic\n$")

    def test_targets_are_undone_together(self):
        silent, well = Target(self), Target(self)
        undone = threading.Event()
        normal, normal_of_well = silent.answer, well.answer
        waited = []

        def answer(client, words, value):
            if words[0] == b"md" and silent.items and not waited:
                waited.append(undone.wait(20))
            return normal(client, words, value)

        def answer_well(client, words, value):
            said = normal_of_well(client, words, value)
            if words[0] == b"md" and not well.items:
                undone.set()
            return said

        def interrupt(key):
            if key == self.KEYS[-1]:
                well.answer = answer_well
                process.send_signal(signal.SIGTERM)
        silent.answer = answer
        process = subprocess.Popen(
            [LARDER, "copy", "--from", self.source(interrupt).address, "--to",
             f"{silent.address},{well.address}", "--timeout", "100"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, silent.items, well.items), (4, {}, {}), error)
        self.assertEqual(waited, [True])

    def test_a_lost_target_does_not_wait_for_the_undo_of_another(self):
        first, second = Target(self), Target(self)
        keys = [b"k%d" % i for i in range(20 * BATCH)]
        of_first, of_second = self.keys_by_target(keys, first, second)
        of_first, of_second = of_first[:6 * BATCH], of_second[:BATCH // 2]
        normal = first.answer
        left = []

        def answer(client, words, value):
            # The first delete is that of a key that copy has not added.
            if words[0] == b"md" and len(first.deleted) == BATCH + 9:
                left.append(len(second.items))
                self.lose(second)
            if words[0] == b"md" and len(first.deleted) == 4 * BATCH:
                left.append(self.left_after(5, second))
            return normal(client, words, value)
        first.answer = answer
        source = Source(self, of_second + of_first, lambda key: key == of_first[-1] and
                        self.lose(first))
        process = self.start_copy(source, first, second)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, first.items, second.items), (4, {}, {}), error)
        self.assertEqual(left, [BATCH // 2, 0])

    def test_a_lost_target_waits_for_one_step_of_another(self):
        keys = [b"k%d" % i for i in range(6 * BATCH)]
        for what in ("get", "give back"):
            with self.subTest(what):
                lame, other = Target(self), Target(self)
                of_lame, of_other = self.keys_by_target(keys, lame, other)
                first = of_lame[:BATCH // 4] + of_other[:3 * BATCH // 4]
                second = of_other[3 * BATCH // 4:][:BATCH // 4]
                left = []
                normal = other.answer

                def answer(client, words, value, what=what, normal=normal, second=second,
                           left=left, lame=lame):
                    if what == "get" and words[:2] == [b"add", second[0]]:
                        left.append(len(lame.items))
                    return normal(client, words, value)

                def reply(words, _, what=what, keys=first + second, second=second, left=left,
                          lame=lame):
                    if words[0] == b"lru_crawler":
                        return b"".join(line_of_key(key) for key in keys) + b"END\r\n"
                    if words[0] == b"md":
                        left.append(len(lame.items))
                        return b"HD\r\n"
                    if words[1] == second[0]:
                        left.append(len(lame.items))
                        self.lose(lame)
                    is_won = what == "give back" and words[1] == second[1]
                    return b"VA 3 f0 c1%s\r\nOLD\r\n" % (b" W" if is_won else b"")
                other.answer = answer
                source = Source(self, [], None)
                source.address = self.fake(reply)
                status, _, error = self.copy(source, lame, other)
                self.assertEqual((status, lame.items), (4, {}), error)
                self.assertEqual(left, [BATCH // 4, 0])

    def memcached_target(self):
        target = Target(self)
        normal = target.answer

        def answer(client, words, value):
            if words == [b"watch", b"changes"]:
                return b"ERROR\r\n"
            if words[0] == b"stats":
                return b"STAT cmd_flush 0\r\nEND\r\n"
            if words[0] == b"ms":
                target.items[words[1]] = value
                target.show(b"ts=1.000000 gid=1 type=item_store key=%s status=stored cmd=set ttl=0"
                            b" clsid=1 cfd=9 size=3\n" % words[1])
                return b"HD c1\r\n"
            return normal(client, words, value)
        target.answer = answer
        return target

    def test_a_lost_target_does_not_wait_for_all_steps_of_the_end(self):
        for what in (b"stats", b"md"):
            with self.subTest(what):
                first, second, lame = self.memcached_target(), self.memcached_target(), Target(self)
                left = []

                def is_due(words, what=what, lame=lame):
                    if what == b"stats":  # they are asked before the watch is open, too
                        return words == [b"stats"] and lame.shown > BATCH // 8
                    return words[0] == b"md" and words[1].startswith(b"larder-copy-") and \
                        words[1].endswith(b"-1")

                def note(target, step, is_due=is_due):
                    normal = target.answer

                    def answer(client, words, value):
                        if is_due(words):
                            step()
                        return normal(client, words, value)
                    target.answer = answer

                def begin(left=left, lame=lame):
                    if not left:
                        left.append(len(lame.items))
                        self.lose(lame)

                def end(left=left, lame=lame):
                    if len(left) == 1:
                        left.append(len(lame.items))
                note(first, begin)
                note(second, end)
                status, _, error = self.copy(self.source(), first, second, lame)
                self.assertEqual((status, lame.items), (4, {}), error)
                self.assertGreater(left[0], 0)
                self.assertEqual(left[1:], [0])

    def test_a_lost_target_does_not_wait_for_deletes_on_another(self):
        lame, slow = Target(self), Target(self)
        left = []
        key = self.keys_by_target(self.KEYS, lame, slow)[1][0]
        normal = slow.answer

        def answer(client, words, value):
            if words[0] == b"md" and words[1].startswith(b"larder-copy-") and \
                    words[1].endswith(b"-1"):
                slow.show(b"ts=1.000000 gid=1 type=deleted key=%s cmd=delete clsid=1 cfd=9 size=3\n"
                          % key)
            if words[:2] == [b"md", key]:
                left.append(len(lame.items))
                self.lose(lame)
                left.append(self.left_after(3, lame))
            return normal(client, words, value)
        slow.answer = answer
        status, _, error = self.copy(self.source(), lame, slow)
        self.assertEqual((status, lame.items), (4, {}), error)
        self.assertGreater(left[0], 0)
        self.assertEqual(left[1:], [0])

    @unittest.skipIf(IS_SANITIZED, "a sanitizer needs descriptors of its own")
    def test_a_delete_without_a_descriptor_is_status_9(self):
        undone = 0
        for limit in range(9, 15):
            target = Target(self)

            def change(key, target=target):
                if key != self.KEYS[BATCH + 3] or b"k0" not in target.items:
                    return
                target.show(b"ts=1.000000 gid=1 type=deleted key=k0 cmd=delete clsid=1 cfd=9 size=3"
                            b"\n")
                support.wait_until(lambda: b"k0" in target.deleted or self.has_left(target),
                                   "a delete", PATIENCE_SECONDS)
            with self.subTest(limit=limit):
                done = subprocess.run(
                    [LARDER, "copy", "--from", self.source(change).address, "--to", target.address],
                    capture_output=True, check=False, timeout=PATIENCE_SECONDS,
                    preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                      (limit, limit)))
                is_out = b"Too many open files" in done.stderr
                self.assertEqual(done.returncode, 9 if is_out else 0, done)
                undone += is_out and b"k0" in target.deleted
        self.assertGreater(undone, 0)

    def test_what_cannot_be_deleted_again_is_told(self):
        target = Target(self, lambda line, shown: b"skipped=1\n" if shown == 200 else line)
        normal = target.answer
        target.answer = lambda client, words, value: (
            b"SERVER_ERROR no\r\n" if words[0] == b"md" and target.items else
            normal(client, words, value))
        status, _, error = self.copy(self.source(), target)
        self.assertEqual(status, 4)
        self.assertIn(f"{target.address} may have old values now", error)
        self.assertIn("flush it", error)

    def test_an_add_without_an_answer_is_undone_also_where_it_comes_late(self):
        target = Target(self)
        key = self.KEYS[2 * BATCH - 1]
        normal = target.answer

        unanswered = []

        def answer(client, words, value):
            if words[:2] == [b"add", key]:
                unanswered.append(client)
            if client in unanswered:
                return b""
            said = normal(client, words, value)
            if words[:2] == [b"md", key] and target.deleted.count(key) == 1:
                target.items[key] = OLD  # only now the add is carried out
            return said
        target.answer = answer
        status, _, error = self.copy(self.source(), target, words=["--timeout", "0.5"])
        self.assertEqual(status, 4)
        self.assertIn(target.address, error)
        self.assertEqual((target.items, target.deleted.count(key)), ({}, 2))

    def test_a_server_that_holds_an_add_back_is_to_be_flushed(self):
        target = Target(self)
        key = self.KEYS[0]
        held = threading.Event()
        self.addCleanup(held.set)
        normal = target.answer

        def answer(client, words, value):
            if words[:2] != [b"add", key]:
                return normal(client, words, value)
            target.lock.release()
            held.wait(PATIENCE_SECONDS)
            target.lock.acquire()
            return b""
        target.answer = answer
        status, _, error = self.copy(self.source(), target, words=["--timeout", "0.5"])
        self.assertEqual(status, 4)
        self.assertIn("may store old values yet", error)
        self.assertIn("flush it", error)

    def test_a_refusal_that_leaves_doubt_is_undone(self):
        target = Target(self)
        key = self.KEYS[3]
        normal = target.answer

        def answer(client, words, value):
            said = normal(client, words, value)
            return b"SERVER_ERROR timed out\r\n" if words[:2] == [b"add", key] else said
        target.answer = answer
        status, _, error = self.copy(self.source(), target, words=["--timeout", "2"])
        self.assertGreaterEqual(status, 4)
        self.assertIn("has not answered all that copy stored there", error)
        self.assertEqual(target.items, {})

    def target_that_doubles(self, spoil=lambda words, said: said):
        """Has the first half of a batch. The first reply to an add comes twice. A delete of a key of
        each half, of before the adds, is shown late, and so are the adds."""
        kept = []

        def late(line, _):
            kept.append(line)
            if b"key=%s " % self.KEYS[BATCH] not in line and b"key=larder-copy" not in line:
                return b""
            said = b"".join(kept)
            kept.clear()
            return said
        target = Target(self, late)
        target.items = {key: b"NEW" for key in self.KEYS[:BATCH // 2]}
        normal = target.answer

        def answer(client, words, value):
            said = spoil(words, normal(client, words, value))
            if words[:2] != [b"add", self.KEYS[0]]:
                return said
            target.show(b"ts=1.000000 gid=1 type=deleted key=%s cmd=delete clsid=1 cfd=9 size=3\n"
                        % self.KEYS[BATCH // 2])
            return said * 2
        target.answer = answer
        return target

    def test_adds_whose_replies_are_shifted_are_undone(self):
        target = self.target_that_doubles()
        status, text, error = self.copy(self.source(), target, words=["--timeout", "2"])
        self.assertNotIn(OLD, target.items.values(), text)
        self.assertEqual(status, 6, error)
        self.assertIn("sent what is no reply to the request", error)
        self.assertIn(f"{target.address} has not answered all that copy stored there", error)

    def test_a_refusal_in_the_place_of_another_reply_shows_the_shift(self):
        def spoil(words, said):
            refused = words[:2] == [b"add", self.KEYS[BATCH - 1]]
            return b"SERVER_ERROR object too large for cache\r\n" if refused else said
        target = self.target_that_doubles(spoil)
        status, text, error = self.copy(self.source(), target, words=["--timeout", "2"])
        self.assertNotIn(OLD, [target.items[key] for key in self.KEYS[:BATCH - 1]
                               if key in target.items], text)
        self.assertEqual(status, 6, error)
        # The one too many comes with the last reply of the batch, or later.
        self.assertRegex(error, "answered another request|sent what nobody asked for")

    def test_adds_before_a_refusal_that_closes_count_as_added(self):
        key = self.KEYS[BATCH // 2 + 9]
        target = self.target_that_doubles()
        doubling = target.answer

        def answer(client, words, value):
            if words[:2] != [b"add", key]:
                return doubling(client, words, value)
            client.sendall(b"SERVER_ERROR object too large for cache\r\n")
            client.shutdown(socket.SHUT_WR)
            return b""
        target.answer = answer
        status, text, error = self.copy(self.source(), target, words=["--timeout", "2"])
        self.assertNotIn(OLD, target.items.values(), text)
        self.assertEqual(status, 6, error)

    def target_that_closes_behind_a_refusal(self, refused):
        target = Target(self)
        normal = target.answer
        closed = []

        def answer(client, words, value):
            if client in closed:
                return b""
            if words[0] == b"add" and words[1] in refused:
                closed.append(client)
                client.sendall(b"SERVER_ERROR object too large for cache\r\n")
                client.shutdown(socket.SHUT_WR)
                return b""
            return normal(client, words, value)
        target.answer = answer
        return target

    def test_a_refusal_that_closes_costs_one_item(self):
        refused = self.KEYS[:1] + self.KEYS[9:BATCH:40] + self.KEYS[BATCH + 50:BATCH + 51]
        others = set(self.KEYS) - set(refused)
        target = self.target_that_closes_behind_a_refusal(refused)
        status, text, error = self.copy(self.source(), target)
        self.assertEqual((status, set(target.items)), (6, others), error)
        self.assertEqual(text, b"%d stored, 0 were there, 0 expired, %d refused\n"
                         % (len(others), len(refused)))

        target = self.target_that_closes_behind_a_refusal(refused)
        dump = b"larder-dump 1\n" + b"".join(
            b"item %d 3 0 0\n%sOLD\n" % (len(key), key)
            for key in self.KEYS) + b"end %d\n" % len(self.KEYS)
        status, text, error = larder("load", "--add", "--json", "--servers", target.address,
                                     stdin=dump)
        self.assertEqual((status, set(target.items)), (6, others), error)
        counts = json.loads(text)
        self.assertEqual((counts["refused"], counts["unreached"]), (len(refused), 0))
        self.assertEqual(counts["stored"] + counts["there"], len(others))

    def test_what_changes_behind_an_add_that_is_sent_again_is_gone(self):
        target = self.target_that_closes_behind_a_refusal(self.KEYS[9:10])
        closing = target.answer

        def answer(client, words, value):
            said = closing(client, words, value)
            if words[:2] == [b"add", self.KEYS[0]] and said == b"STORED\r\n":
                target.show(b"ts=1.000000 gid=1 type=deleted key=%s cmd=delete clsid=1 cfd=9 "
                            b"size=3\n" % self.KEYS[0])
            return said
        target.answer = answer
        status, text, error = self.copy(self.source(), target, words=["--json"])
        self.assertEqual((status, set(target.items)), (6, set(self.KEYS) - {self.KEYS[0],
                                                                            self.KEYS[9]}), error)
        self.assertEqual(json.loads(text)["deleted_again"], 1)

    def target_that_says_not_stored(self, before, after):
        """To the first add, which it carries out. The lines `before` and `after` surround its line;
        all come with the first line of the next batch."""
        kept = []

        def late(line, shown):
            kept.append(line)
            if b"key=%s " % self.KEYS[BATCH] not in line:
                return b"" if kept else line
            said = b"".join(kept)
            kept.clear()
            target.misbehave = lambda line, shown: line
            return said
        target = Target(self, late)
        normal = target.answer

        def answer(client, words, value):
            if words[:2] != [b"add", self.KEYS[0]]:
                return normal(client, words, value)
            for line in before:
                target.show(line)
            normal(client, words, value)
            for line in after:
                target.show(line)
            return b"NOT_STORED\r\n"
        target.answer = answer
        return target

    def test_an_add_that_is_shown_counts_as_added_whatever_its_reply(self):
        deleted = (b"ts=1.000000 gid=1 type=deleted key=%s cmd=delete clsid=1 cfd=9 size=3\n"
                   % self.KEYS[0])
        for name, before, after, left in (("changed before", [deleted], [], None),
                                          ("changed after", [], [deleted], None),
                                          ("not changed", [], [], OLD)):
            with self.subTest(name):
                target = self.target_that_says_not_stored(before, after)
                status, text, error = self.copy(self.source(), target, words=["--json"])
                self.assertEqual((status, error), (0, ""))
                self.assertEqual(target.items.get(self.KEYS[0]), left, text)
                self.assertEqual(len(target.items), len(self.KEYS) - (left is None))
                self.assertEqual(json.loads(text)["deleted_again"], left is None)

    def test_an_undo_takes_an_add_that_is_shown_whatever_its_reply(self):
        target = self.target_that_says_not_stored([], [])
        status, _, error = self.copy(self.source(
            lambda key: key == self.KEYS[-1] and target.show(b"skipped=1\n")), target)
        self.assert_undone(target, status, error, "has left out lines")

    def test_a_target_without_replies_to_version_is_given_up(self):
        def silent():
            target = Target(self)
            normal = target.answer
            asked = []

            def answer(client, words, value):
                if words[0] != b"version":
                    return normal(client, words, value)
                asked.append(client)
                return b""
            target.answer = answer
            return target, asked
        target, asked = silent()
        status, _, error = self.copy(self.source(), target, words=["--timeout", "4"])
        # Without it none of the replies before is believed.
        self.assertEqual((status, target.items), (4, {}), error)
        self.assertIn(f"{target.address} is too slow to answer\n", error)
        self.assertIn("copy has deleted its items there", error)
        self.assertEqual(len(asked), 1)

        keys = [b"k%d" % i for i in range(6 * BATCH)]
        target, asked = silent()
        dump = b"larder-dump 1\n" + b"".join(
            b"item %d 3 0 0\n%sOLD\n" % (len(key), key) for key in keys) + b"end %d\n" % len(keys)
        status, text, error = larder("load", "--add", "--json", "--timeout", "4", "--servers",
                                     target.address, stdin=dump)
        self.assertEqual(status, 4)
        self.assertEqual(error.splitlines()[:-1],
                         [f"larder: {target.address} is too slow to answer"])
        self.assertIn("the rest of '-' was not read", error)
        self.assertEqual((len(asked), json.loads(text)["stored"]), (3, 0))

    def test_a_refused_add_leaves_a_newer_value(self):
        large = b"x" * 1_200_000  # more than is allowed by default
        with support.Server("-I", "2m") as source:
            source.ask(b"set k 0 0 %d\r\n" % len(large) + large + b"\r\n")
            for program in ({}, {"command": [MEMCACHED]}):
                with self.subTest(program), support.Server(**program) as target:
                    target.ask(b"set k 0 0 3\r\nNEW\r\n")
                    self.assertEqual(self.copy(source, target)[0], 6)
                    self.assertEqual(self.value(target, b"k"), b"NEW")
                    self.assertEqual(
                        larder("add", "k", "-", "--servers", target.address, stdin=large)[0], 6)
                    self.assertEqual(self.value(target, b"k"), b"NEW")

    def test_a_full_target_keeps_what_it_has_room_for(self):
        keys = [b"k%d" % i for i in range(40 * BATCH)]
        with support.Server("-M", "-m", "4") as target:
            source = Source(self, keys, lambda key: None, b"OLD" * 1000)
            status, text, error = self.copy(source, target, words=["--json"])
            counts = json.loads(text)
            self.assertEqual((status, counts["deleted_again"]), (6, 0), error)
            self.assertGreater(counts["stored"], 100)
            self.assertGreater(counts["refused"], 100)
            self.assertEqual(int(target.stat("curr_items")), counts["stored"])

    def test_a_flush_that_is_still_to_come_keeps_memcached_out(self):
        with support.Server(command=[MEMCACHED]) as target:
            target.ask(b"flush_all 5\r\n")
            status, _, error = self.copy(self.source(), target)
            self.assertEqual(status, 4)
            self.assertIn("a flush_all with a delay is still to come", error)
            self.assertEqual(target.stat("cmd_set"), "0")

    def test_a_signal_takes_what_was_added_with_it(self):
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(sent), support.Server() as target:
                reading, signalled = threading.Event(), threading.Event()

                def wait(key):
                    if key == self.KEYS[-1]:
                        reading.set()
                        signalled.wait(PATIENCE_SECONDS)
                process = subprocess.Popen(
                    [LARDER, "copy", "--from", self.source(wait).address, "--to", target.address,
                     "--timeout", "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertTrue(reading.wait(PATIENCE_SECONDS))
                self.assertGreaterEqual(int(target.stat("curr_items")), BATCH)
                process.send_signal(sent)
                signalled.set()
                _, error = process.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(process.returncode, 4)
                self.assertIn(b"copy was interrupted", error)
                self.assertEqual(target.stat("curr_items"), "0")

    def test_a_signal_at_the_end_takes_what_was_added_with_it(self):
        target = Target(self)
        normal = target.answer

        def answer(client, words, value):
            if words[0] == b"md" and words[1].startswith(b"larder-copy-") and \
                    words[1].endswith(b"-1"):
                process.send_signal(signal.SIGTERM)
            return normal(client, words, value)
        target.answer = answer
        process = self.start_copy(self.source(), target)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, target.items), (4, {}), error)
        self.assertIn(b"copy was interrupted", error)

    def test_a_second_signal_of_any_kind_ends_copy(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                              (signal.SIGTERM, signal.SIGHUP)):
            with self.subTest(first=first, second=second):
                target = Target(self)
                normal = target.answer
                signalled = []

                def answer(client, words, value, normal=normal, signalled=signalled,
                           second=second):
                    if words[0] == b"md" and signalled:
                        signalled.clear()  # more deletes are on their way
                        process.send_signal(second)
                        process.wait(PATIENCE_SECONDS)
                    return normal(client, words, value)

                def interrupt(key, signalled=signalled, first=first):
                    if key == self.KEYS[-1]:
                        signalled.append(first)
                        process.send_signal(first)
                target.answer = answer
                process = self.start_copy(self.source(interrupt), target, timeout="2")
                process.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(process.returncode, -second)
                self.assertTrue(target.items)

    def test_a_signal_before_the_watch_is_open_is_told_as_such(self):
        target = Target(self, greeting=None)
        process = subprocess.Popen(
            [LARDER, "copy", "--from", self.source().address, "--to", target.address,
             "--timeout", "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        support.wait_until(lambda: target.clients, "a connection")
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, error.decode()),
                         (4, f"larder: {target.address}: copy was interrupted\n"))

    def test_without_a_folder_for_the_keys_nothing_is_added(self):
        with support.Server() as target:
            done = subprocess.run(
                [LARDER, "copy", "--from", self.source().address, "--to", target.address],
                capture_output=True, check=False, timeout=PATIENCE_SECONDS,
                env=dict(os.environ, TMPDIR="/nowhere"))
            self.assertEqual(done.returncode, 9)
            self.assertIn(b"TMPDIR", done.stderr)
            self.assertEqual(target.stat("curr_items"), "0")

    def test_keys_that_cannot_be_kept_take_what_was_added_with_them(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the first batch, not the second
        with support.Server() as target:
            done = subprocess.run(
                [LARDER, "copy", "--from", self.source().address, "--to", target.address],
                capture_output=True, check=False, timeout=PATIENCE_SECONDS, preexec_fn=limit)
            self.assertEqual(done.returncode, 9, done.stderr)
            self.assertIn(b"File too large", done.stderr)
            self.assertGreaterEqual(int(target.stat("delete_hits")), BATCH)
            self.assertEqual(target.stat("curr_items"), "0")

    def test_only_overwrite_stores_over_what_is_there(self):
        with support.Server() as target:
            target.ask(b"set k1 0 0 3\r\nNEW\r\n")
            for words, value in (([], b"NEW"), (["--add"], b"NEW"), (["--overwrite"], OLD)):
                self.assertEqual(self.copy(self.source(), target, words=words)[0], 0)
                self.assertEqual(self.value(target, b"k1"), value)
            self.assertEqual(self.copy(self.source(), target, words=["--add", "--overwrite"])[0], 1)

    def test_no_marker_stays_behind(self):
        with support.Server() as target:
            self.assertEqual(self.copy(self.source(), target)[0], 0)
            self.assertEqual(int(target.stat("curr_items")), len(self.KEYS))
            self.assertEqual(target.stat("log_worker_dropped"), "0")


class Memory(Copies, FaultsCase):
    """An allocation fails in the middle of copy."""

    KEYS = [b"k%d" % i for i in range(BATCH + 20)]

    def copy_with_fault(self, source, target, *words):
        return self.copy(source, target, words=["--timeout", "2", *words],
                         LD_PRELOAD=os.environ["LARDER_FAULTS_LIBRARY"], LARDER_FAULTS=self.control)

    def test_what_is_not_undone_is_tried_again_or_told(self):
        for number in range(1, 50, 6):
            def fail_and_skip(line, shown, number=number):
                if shown != BATCH - 1:
                    return line
                self.fail_allocation(number)
                return line + b"skipped=1\n"
            with self.subTest(number=number):
                self.fail_allocation(0)
                target = Target(self, fail_and_skip)
                status, _, error = self.copy_with_fault(
                    Source(self, self.KEYS, lambda key: None), target)
                self.assertGreaterEqual(status, 4)
                self.assertNotRegex(error, "(?m)^larder: out of memory")
                if "(out of memory)" in error:
                    self.assertEqual(status, 9)
                if target.items:
                    self.assertIn("flush it", error)

    def test_where_memory_stays_out_what_is_left_is_told(self):
        for number in range(1, 50, 6):
            with self.subTest(number=number):
                self.fail_allocation(0)
                target = Target(self)
                status, text, error = self.copy_with_fault(
                    Source(self, self.KEYS, lambda key, number=number: key == self.KEYS[BATCH + 5]
                           and self.fail_allocation(number, more=3)), target)
                if status != 0 and target.items:
                    self.assertIn("flush it", error, text)

    def test_a_delete_without_memory_is_status_9(self):
        for number in range(1, 16, 3):
            target = Target(self)

            def change(key, number=number, target=target):
                if key == self.KEYS[-1]:
                    self.fail_allocation(number)
                    target.show(b"ts=1.000000 gid=1 type=deleted key=k0 cmd=delete clsid=1 cfd=9"
                                b" size=3\n")
                    support.wait_until(lambda: self.failed() or b"k0" in target.deleted, "a delete")
            with self.subTest(number=number):
                self.fail_allocation(0)
                status, _, error = self.copy_with_fault(Source(self, self.KEYS, change), target)
                if "out of memory" in error:
                    self.assertEqual(status, 9, error)


if __name__ == "__main__":
    support.main()
