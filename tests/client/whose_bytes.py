#!/usr/bin/python3
"""Clients that hang up, stall, half-close and reset at any moment; and nobody gets a byte of another's.

    LARDERD=build/release/larderd tests/client/whose_bytes.py --seconds 1800

Every client owns some keys, and asks for these alone. Each block of a value names the key and the
write that stored it, so a byte in the wrong place shows, and shows whose it is. Pipelines of the
three dialects, from a few bytes to several megabytes, go to three servers in turn: one over TLS with a
plain listener beside it, one over a unix socket, and one that asks for a password (-Y), over both.
Clients leave before, while and after they read; the next connection comes at once. A client checks
every byte that it reads: the replies come in the order of the requests, and all of them; a client
without the password is refused and sees no value. Ends with 1 if a reply was wrong, missing or one
too many, if a server found bytes in a reply buffer that should have been empty
(`reply_buffer_not_empty` of `stats larder`), or if it ended or did not stop.
"""

import argparse
import collections
import contextlib
import functools
import math
import os
import random
import re
import selectors
import shutil
import socket
import ssl
import struct
import tempfile
import time

import support
from auth_support import Certificates, QuietServer
from day_in_the_life import Wrong
from logins import LOOK_EVERY, MOST_OPEN, Clear, Tls, open_files, write

OWNERS = 24               # clients at a time, one connection each
SIZES = (0, 1, 40, 700, 3_000, 3_100, 12_000, 70_000, 300_000, 950_000)  # of an owner's values
MOST_REQUESTS = 400       # of one pipeline
LARGEST_PIPELINE = 6_000_000  # bytes of its replies
# Of all connections together. The server may close one when it holds more for clients that do not
# read: a quarter of -m in items.
MOST_ASKED_FOR = 24_000_000
MEMORY_MIB = 128
CUTS = (1, 24, 100, 1_500, 70_000, 1 << 20)  # bytes that are sent at once, at most
CHUNKS = (100, 4_096, 65_536, 1 << 20)       # bytes that are read at once, at most
SMALL_BUFFER_BYTES = 16_384                  # of a client that stalls
LONGEST_PAUSE_SECONDS, LONGEST_STALL_SECONDS = 0.02, 0.3
REPLY_SECONDS = 20        # a server that says nothing for so long is stuck
LONGEST_ROUND_SECONDS = 30
LEAST_VALUES, LEAST_HANG_UPS = 50, 5  # of one server: with fewer it was no test
LONGEST_HEAD = 300        # bytes of a reply in front of its value
USER, PASSWORD = "alice", "sekret"
LOGIN = b"set login 0 0 %d\r\n%s\r\n"

# -- Values.

TAG = re.compile(rb"<c(\d+)-\d+\.\d+>")


def key_of(owner, number):
    return b"c%d-%d" % (owner, number)


def size_of(key):
    return SIZES[int(key.split(b"-")[1])]


@functools.lru_cache(64)
def value_of(key, version):
    """What write `version` has stored, which is also its client flags."""
    size = size_of(key)
    tag = b"<%s.%d>" % (key, version)
    return (tag * (size // len(tag) + 1))[:size]


def foreign_bytes(owner, data):
    """How many of the bytes bear the name of another owner."""
    return sum(len(tag[0]) for tag in TAG.finditer(data) if int(tag[1]) != owner)


# -- What a connection is to be answered.

SILENT = "silent"


class Expected:
    """A part of the replies.

    take(data)  (how many bytes are its head, the bytes that must follow); None: more are needed to
                tell; SILENT: it has no reply, and the data belongs to the next one. Raises Wrong.
    """

    needed = True  # it cannot be silent

    def __init__(self, name, issued=None):
        self.name = name
        self.issued = issued  # the last version of each key

    def wrong(self, data):
        raise Wrong(f"{self.name} is answered {bytes(data[:100])}")

    def value(self, key, size, version, data):
        if size != size_of(key) or not 0 < version <= self.issued[key]:
            self.wrong(data)
        return value_of(key, version)


class Line(Expected):
    def __init__(self, name, line):
        super().__init__(name)
        self.line = line

    def take(self, data):
        if data.startswith(self.line):
            return len(self.line), b""
        if self.line.startswith(data):
            return None
        self.wrong(data)


class TextStats(Expected):
    ROWS = re.compile(rb"(STAT [^\r\n]*\r\n)+END\r\n")

    def take(self, data):
        if not data.startswith(b"STAT "[:len(data)]):
            self.wrong(data)
        rows = self.ROWS.match(data)
        return (rows.end(), b"") if rows else None


class TextValue(Expected):
    """One key of a get; the END comes as a line of its own."""

    needed = False
    HEAD = re.compile(rb"VALUE (\S+) (\d+) (\d+)\r\n")

    def __init__(self, key, issued):
        super().__init__(f"get {key}", issued)
        self.key = key
        self.begin = b"VALUE %s " % key

    def take(self, data):
        if not data.startswith(self.begin):
            return None if self.begin.startswith(data) else SILENT
        head = self.HEAD.match(data)
        if not head:
            return self.wrong(data) if len(data) > LONGEST_HEAD else None
        return head.end(), self.value(self.key, int(head[3]), int(head[2]), data) + b"\r\n"


class MetaValue(Expected):
    HEAD = re.compile(rb"VA (\d+) k(\S+) f(\d+) O(\d+)\r\n")

    def __init__(self, key, number, quiet, issued):
        super().__init__(f"mg {key}, number {number}", issued)
        self.key, self.number, self.needed = key, number, not quiet

    def take(self, data):
        if len(data) < 4:
            return None
        if not data.startswith(b"VA "):
            if not self.needed:
                return SILENT
            return (4, b"") if data.startswith(b"EN\r\n") else self.wrong(data)
        head = self.HEAD.match(data)
        if not head:
            return self.wrong(data) if len(data) > LONGEST_HEAD or b"\n" in data else None
        if int(head[4]) != self.number or head[2] != self.key:
            return self.wrong(data) if self.needed else SILENT
        return head.end(), self.value(self.key, int(head[1]), int(head[3]), data) + b"\r\n"


class Packet(Expected):
    """A reply of the binary protocol, which bears the number of its request.

    key       of a get, whose value it is
    with_key  the reply names the key
    quiet     a miss has no reply
    rows      several replies, the last of which is empty
    """

    def __init__(self, opcode, number, *statuses, issued=None, key=None, with_key=False, quiet=False,
                 rows=False):
        super().__init__(f"opcode {opcode:#x}, number {number}, key {key}", issued)
        self.opcode, self.number, self.statuses = opcode, number, statuses
        self.key, self.with_key, self.needed, self.rows = key, with_key, not quiet, rows

    def take(self, data):
        at = 0
        while len(data) >= at + 24:
            magic, opcode, key_bytes, extra_bytes, _, status, body_bytes, number, _ = struct.unpack_from(
                ">BBHBBHIIQ", data, at)
            if magic == 0x81 and number != self.number and not self.needed:
                return SILENT
            if (magic, opcode, number) != (0x81, self.opcode, self.number) or status not in self.statuses:
                self.wrong(data[at:])
            if self.key is not None and status == 0:
                named = self.key if self.with_key else b""
                if (extra_bytes, key_bytes) != (4, len(named)):
                    self.wrong(data)
                if len(data) < 28:
                    return None
                version, = struct.unpack_from(">I", data, 24)
                return 28, named + self.value(self.key, body_bytes - 4 - len(named), version, data)
            at += 24 + body_bytes
            if body_bytes > LONGEST_HEAD:
                self.wrong(data)
            if len(data) >= at and (not self.rows or body_bytes == 0):
                return at, b""
        return None


# -- What a connection says: each draws requests of an owner, and has what they are to be answered.


class Script:
    """One pipeline after the other; `sent` and `expected` grow."""

    def __init__(self, rng, owner, issued):
        self.rng, self.owner, self.issued = rng, owner, issued
        self.sent = bytearray()
        self.expected = []
        self.number = 0

    def grow(self, reply_bytes):
        """Adds requests whose replies have about so many bytes."""
        left, requests = reply_bytes, 0
        while requests == 0 or (left > 0 and requests < MOST_REQUESTS):
            what = self.rng.random()
            if what < 0.08:
                left -= self.stats() or 0
            elif what < 0.2:
                left -= self.store(self.key(left))
            else:
                many = self.rng.choice((1, 1, 2, 10, 50))
                keys = []
                while len(keys) < many and (left > 0 or not keys):
                    keys.append(self.key(left))
                    left -= size_of(keys[-1]) + 30
                self.ask(keys)
            requests += 1

    def key(self, largest):
        """One of the owner's keys whose value is not larger."""
        fitting = sum(size <= max(largest, 40) for size in SIZES)
        number = self.rng.randrange(fitting)
        if self.rng.random() < 0.5:
            number = max(number, self.rng.randrange(fitting))
        return key_of(self.owner, number)

    def next_version(self, key):
        self.issued[key] += 1
        return self.issued[key]

    def next_number(self):
        self.number += 1
        return self.number

    def say(self, request, *expected):
        self.sent += request
        self.expected += expected


class Classic(Script):
    def ask(self, keys):
        self.say(b"get %s\r\n" % b" ".join(keys), *(TextValue(key, self.issued) for key in keys),
                 Line(f"get of {len(keys)}", b"END\r\n"))

    def store(self, key):
        version, quiet = self.next_version(key), self.rng.random() < 0.3
        self.say(b"set %s %d 0 %d%s\r\n%s\r\n" % (key, version, size_of(key), b" noreply" if quiet else b"",
                                                 value_of(key, version)),
                 *(() if quiet else (Line(f"set {key}", b"STORED\r\n"),)))
        return 8

    def stats(self):
        self.say(b"stats settings\r\n", TextStats("stats"))
        return 3_000


class Meta(Script):
    def ask(self, keys):
        quiet = self.rng.random() < 0.5
        for key in keys:
            number = self.next_number()
            self.say(b"mg %s k f O%d v%s\r\n" % (key, number, b" q" if quiet else b""),
                     MetaValue(key, number, quiet, self.issued))
        if quiet or self.rng.random() < 0.5:
            self.say(b"mn\r\n", Line("mn", b"MN\r\n"))

    def store(self, key):
        version, quiet = self.next_version(key), self.rng.random() < 0.3
        number = self.next_number()
        self.say(b"ms %s %d F%d O%d%s\r\n%s\r\n" % (key, size_of(key), version, number,
                                                   b" q" if quiet else b"", value_of(key, version)),
                 *(() if quiet else (Line(f"ms {key}", b"HD O%d\r\n" % number),)))
        return 8

    def stats(self):
        self.say(b"mn\r\n", Line("mn", b"MN\r\n"))
        return 4


class Binary(Script):
    GET, SET, QUIT, NOOP, GETK, GETKQ, STAT, SETQ = 0x00, 0x01, 0x07, 0x0a, 0x0c, 0x0d, 0x10, 0x11

    def packet(self, opcode, key=b"", extras=b"", value=b""):
        return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                           len(extras) + len(key) + len(value), self.next_number(), 0) + extras + key + value

    def ask(self, keys):
        opcode = self.rng.choice((self.GET, self.GETK, self.GETKQ))
        for key in keys:
            self.say(self.packet(opcode, key),
                     Packet(opcode, self.number, 0, 1, issued=self.issued, key=key,
                            with_key=opcode != self.GET, quiet=opcode == self.GETKQ))
        if opcode == self.GETKQ:
            self.say(self.packet(self.NOOP), Packet(self.NOOP, self.number, 0))

    def store(self, key):
        version, quiet = self.next_version(key), self.rng.random() < 0.3
        opcode = self.SETQ if quiet else self.SET
        self.say(self.packet(opcode, key, struct.pack(">II", version, 0), value_of(key, version)),
                 *(() if quiet else (Packet(opcode, self.number, 0),)))
        return 24

    def stats(self):
        self.say(self.packet(self.STAT, b"settings"), Packet(self.STAT, self.number, 0, rows=True))
        return 3_000


class Stranger(Script):
    """Has no password, or a wrong one."""

    REFUSED = b"CLIENT_ERROR unauthenticated\r\n"

    def grow(self, _reply_bytes):
        for _ in range(self.rng.choice((1, 1, 3, 20))):
            if self.rng.random() < 0.1:
                token = f"{USER} wrong".encode()
                self.say(LOGIN % (len(token), token),
                         Line("a wrong password", b"CLIENT_ERROR authentication failure\r\n"))
            else:
                request = self.rng.choice((b"get %s\r\n", b"mg %s v k\r\n", b"delete %s\r\n"))
                self.say(request % self.key(math.inf), Line("a stranger", self.REFUSED))


def log_in(script):
    token = f"{USER} {PASSWORD}".encode()
    script.say(LOGIN % (len(token), token), Line("a login", b"STORED\r\n"))


# -- Clients.

SHORT, LONG, HANG_UP, STALL, HALF_CLOSE = "short", "long", "hang up", "stall", "half-close"
PLANS, WEIGHTS = (SHORT, LONG, HANG_UP, STALL, HALF_CLOSE), (33, 15, 32, 8, 12)


class Totals:
    def __init__(self):
        self.connections = self.answers = self.bytes = self.values = 0
        self.hang_ups = self.foreign = 0

    def add(self, other):
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)


class Connection:
    """One connection of an owner, that is never waited for."""

    def __init__(self, rng, owner, endpoint, issued, allowed_bytes, totals):
        self.rng, self.owner, self.endpoint, self.totals = rng, owner, endpoint, totals
        self.plan, = rng.choices(PLANS, WEIGHTS)
        self.layer = endpoint.layer()
        self.script = rng.choice(endpoint.scripts)(rng, owner, issued)
        self.rounds = rng.choice((1, 1, 2, 5)) if self.plan in (SHORT, LONG) else 1
        self.asked_for = self.pipeline_bytes(allowed_bytes)
        self.expected = collections.deque()
        self.wire = b""       # what is to be sent
        self.head = b""       # received, and its meaning is not yet known
        self.exact, self.at = b"", 0  # the bytes that must come now, and how many of them have come
        self.received = 0
        self.chunk = rng.choice(CHUNKS[1:] if self.asked_for > 100_000 else CHUNKS)
        self.whole = rng.random() < 0.6  # sends all at once
        now = time.monotonic()
        self.begins_at = now + (rng.uniform(0, LONGEST_PAUSE_SECONDS) if rng.random() < 0.3 else 0)
        self.reads_at = now
        self.last_byte_at = now
        self.begun = self.half_closed = False
        # Over TLS a half-close is a record before the end of the stream, or the end alone.
        self.tells_end = not isinstance(self.layer, Clear) and rng.random() < 0.5
        self.leaves_after_sent = self.leaves_after_received = math.inf
        self.socket = self.connect()

    def pipeline_bytes(self, allowed):
        if self.plan == SHORT or (self.plan == HALF_CLOSE and self.rng.random() < 0.5):
            return min(self.rng.choice((20, 200, 3_000)), allowed)
        largest = min(LARGEST_PIPELINE, allowed)
        if largest > 2_000_000 and self.rng.random() < 0.5:
            return self.rng.uniform(1_000_000, largest)
        return 10 ** self.rng.uniform(1, math.log10(max(largest, 20)))

    def connect(self):
        one = socket.socket(self.endpoint.family)
        if self.plan == STALL:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        if self.endpoint.family == socket.AF_UNIX:  # which cannot be connected to later on
            one.settimeout(REPLY_SECONDS)
            one.connect(self.endpoint.address)
            one.setblocking(False)
        else:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(self.endpoint.address)
        return one

    def begin_round(self):
        """Says the next pipeline."""
        if not self.begun and self.endpoint.asks and not isinstance(self.script, Stranger):
            log_in(self.script)
        self.begun = True
        self.rounds -= 1
        self.script.grow(self.asked_for)
        unsent = len(self.script.sent)
        self.wire += self.layer.seal(bytes(self.script.sent))
        self.expected += self.script.expected
        if self.plan == HANG_UP:
            what = self.rng.random()
            if what < 0.5:
                self.leaves_after_received = 0
            elif what < 0.8:
                self.leaves_after_received = self.rng.uniform(0, self.asked_for)
            else:
                # Of TLS only the first message of the handshake is there.
                self.leaves_after_sent = self.rng.uniform(0, max(unsent, len(self.wire)))
        if self.plan == STALL:
            self.reads_at = time.monotonic() + self.rng.uniform(0, LONGEST_STALL_SECONDS)
            if self.rng.random() < 0.5:
                self.leaves_after_received = self.rng.uniform(0, self.asked_for)
        self.script.sent, self.script.expected = bytearray(), []

    def due(self, now):
        """Whether it would do something now, unless it has to wait for the server."""
        return now >= (self.reads_at if self.begun else self.begins_at)

    def interest(self, now):
        if not self.due(now):
            return 0
        never_reads = self.plan == HANG_UP and self.leaves_after_received == 0 and self.layer.shaken
        return ((0 if never_reads else selectors.EVENT_READ)
                | (selectors.EVENT_WRITE if self.wire or not self.begun else 0))

    def go_on(self, now):
        """Does what it can. Returns whether the connection is still there."""
        if not self.begun:
            self.begin_round()
        try:
            self.send(now)
            if self.has_had_enough(now):
                return self.leave()
            if now >= self.reads_at and not self.receive(now):
                return self.leave()
            if self.has_had_enough(now):
                return self.leave()
        except ssl.SSLError as error:
            raise Wrong(f"what came is not TLS: {error}") from error
        except ConnectionError as error:
            raise Wrong(f"{error!r} with {len(self.missing())} replies missing: {self.missing()[:2]}") from error
        if self.wire or not self.layer.shaken:
            return True
        if self.plan == HALF_CLOSE and not self.half_closed:
            if self.tells_end:
                self.tells_end = False
                self.wire = self.layer.end()
                return True
            self.half_closed = True
            self.socket.shutdown(socket.SHUT_WR)
        if not self.half_closed and self.is_answered():
            if self.rounds == 0:
                return self.leave()
            self.begin_round()
        return True

    def is_answered(self):
        return not self.missing() and self.at == len(self.exact) and not self.head

    def missing(self):
        return [one.name for one in self.expected if one.needed]

    def check_patience(self, now):
        if self.begun and now - max(self.last_byte_at, self.reads_at) > REPLY_SECONDS and not self.is_answered():
            raise Wrong(f"nothing comes for {self.missing()[:1]} ({len(self.wire)} bytes unsent)")

    def has_had_enough(self, now):
        if self.leaves_after_sent <= 0:
            return True
        # The server takes no more from a client that does not read.
        if self.plan == HANG_UP and self.begun and now - self.last_byte_at > LONGEST_STALL_SECONDS:
            return True
        return not self.wire and self.layer.shaken and self.received >= self.leaves_after_received

    def send(self, now):
        with contextlib.suppress(BlockingIOError):
            while self.wire:
                most = len(self.wire) if self.whole else self.rng.choice(CUTS)
                if self.leaves_after_sent < math.inf:
                    most = min(most, int(self.leaves_after_sent) + 1)
                sent = self.socket.send(self.wire[:most])
                self.wire = self.wire[sent:]
                self.last_byte_at = now
                self.leaves_after_sent -= sent
                if not self.whole or self.leaves_after_sent <= 0:
                    return

    def receive(self, now):
        """False: it is over, and was so in good order."""
        try:
            data = self.socket.recv(self.chunk)
        except BlockingIOError:
            return True
        if not data:
            if not self.half_closed or not self.is_answered():
                missing = self.missing()
                raise Wrong(f"the server has closed with {len(missing)} replies missing: {missing[:2]}; "
                            f"{bytes(self.head[:100])}")
            return False
        self.last_byte_at = now
        opened = self.layer.open(data)
        if not self.layer.shaken:
            self.wire += self.layer.seal(b"")
            opened += self.layer.open(b"")
        self.received += len(opened)
        self.totals.bytes += len(opened)
        self.compare(opened)
        return True

    def compare(self, data):
        """Raises Wrong, and counts what is another's."""
        whole = data
        try:
            while data:
                if self.at < len(self.exact):
                    part = data[:len(self.exact) - self.at]
                    if not self.exact.startswith(part, self.at):
                        raise Wrong(f"a value of {self.exact[:20]} is not itself after byte {self.at}: "
                                    f"{bytes(part[:60])} ... {bytes(part[-40:])}")
                    self.at += len(part)
                    data = data[len(part):]
                    continue
                data = self.next_exact(self.head + data)
        except Wrong:
            self.count_foreign(self.head + whole)
            raise

    def next_exact(self, data):
        """Finds what the data begins with. Returns what comes behind the head."""
        self.head = b""
        while self.expected:
            taken = self.expected[0].take(data)
            if taken is None:
                self.head = data
                return b""
            self.expected.popleft()
            if taken is not SILENT:
                head_bytes, self.exact = taken
                self.at = 0
                self.totals.answers += 1
                self.totals.values += bool(self.exact)
                return data[head_bytes:]
        raise Wrong(f"more comes than is asked for: {bytes(data[:100])}")

    def count_foreign(self, data):
        """What has come, and what lies ready behind it."""
        with contextlib.suppress(OSError, ssl.SSLError):
            while len(data) < 2 * LARGEST_PIPELINE and (more := self.socket.recv(1 << 20)):
                data += self.layer.open(more)
        self.totals.foreign += foreign_bytes(self.owner, data)

    def leave(self):
        if self.plan == HANG_UP or not self.is_answered():
            self.totals.hang_ups += 1
        if foreign := foreign_bytes(self.owner, self.head):
            self.totals.foreign += foreign
            raise Wrong(f"the last that came is another's: {bytes(self.head)}")
        self.close(self.rng.choice(("close", "reset", "half-close")))
        return False

    def close(self, how="close"):
        with contextlib.suppress(OSError):
            if how == "reset":
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "half-close":
                self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()

    def __str__(self):
        return (f"client {self.owner} ({self.endpoint.name}, {type(self.script).__name__}, {self.plan}, "
                f"{self.received} bytes received)")


# -- Servers.


class Endpoint:
    """Where clients connect to, and what they may say there.

    asks  for a password
    """

    def __init__(self, name, family, address, scripts, layer=Clear, asks=False):
        self.name, self.family, self.address = name, family, address
        self.scripts, self.layer, self.asks = scripts, layer, asks


class Place:
    """A folder with what servers need, and the servers."""

    OPTIONS = ("-t", 2, "-m", MEMORY_MIB, "-c", 4096)

    def __init__(self, folder):
        os.chmod(folder, 0o755)
        self.users = write(os.path.join(folder, "users"), f"{USER}:{PASSWORD}\n")
        self.certificates = Certificates(folder)
        self.context = self.certificates.context(None)

    def serve_tls(self, *options, scripts, asks=False):
        """Over TLS, and in the clear beside it: (server, endpoints)."""
        port = support.free_port()
        server = QuietServer(
            *self.OPTIONS, "-Z", "-o", f"ssl_chain_cert={self.certificates.path('server.pem')},"
            f"ssl_key={self.certificates.path('server.key')}", "-l", f"notls:127.0.0.1:{port}", *options)
        # The server listens on this port after the one that QuietServer looks at.
        with socket.socket() as plain:
            deadline = time.monotonic() + support.START_TIMEOUT_SECONDS
            while plain.connect_ex(("127.0.0.1", port)) != 0 and time.monotonic() < deadline:
                time.sleep(0.02)
        return server, [
            Endpoint("plain", socket.AF_INET, ("127.0.0.1", port), scripts, asks=asks),
            Endpoint("TLS", socket.AF_INET, ("127.0.0.1", server.port), scripts,
                     layer=lambda: Tls(self.context), asks=asks)]

    def open_to_all(self):
        return self.serve_tls(scripts=(Classic, Meta, Binary))

    def over_unix_socket(self):
        server = QuietServer(*self.OPTIONS, unix=True)
        return server, [Endpoint("unix socket", socket.AF_UNIX, server.path, (Classic, Meta, Binary))]

    def asking(self):
        return self.serve_tls("-Y", self.users, scripts=(Classic, Meta, Stranger), asks=True)

    SERVERS = (open_to_all, over_unix_socket, asking)


def figures(endpoint):
    """`stats larder`, as a dict."""
    with socket.socket(endpoint.family) as plain:
        plain.settimeout(REPLY_SECONDS)
        plain.connect(endpoint.address)
        reader = plain.makefile("rb")
        if endpoint.asks:
            token = f"{USER} {PASSWORD}".encode()
            plain.sendall(LOGIN % (len(token), token))
            reader.readline()
        plain.sendall(b"stats larder\r\n")
        rows = {}
        while (line := reader.readline()) not in (b"END\r\n", b""):
            _, name, number = line.split(b" ", 2)
            rows[name.decode()] = number.strip().decode()
        return rows


class Play:
    """All clients of one server."""

    def __init__(self, server, endpoints, rng):
        self.server, self.endpoints, self.rng = server, endpoints, rng
        self.issued = collections.Counter()
        self.selector = selectors.DefaultSelector()
        self.connections = {}  # by owner
        self.totals = Totals()
        self.wrong = []

    def store_all(self):
        """Every owner's keys have a value."""
        for owner in range(OWNERS):
            with socket.socket(self.endpoints[0].family) as plain:
                plain.settimeout(REPLY_SECONDS)
                plain.connect(self.endpoints[0].address)
                script = Classic(self.rng, owner, self.issued)
                if self.endpoints[0].asks:
                    log_in(script)
                for number in range(len(SIZES)):
                    script.store(key_of(owner, number))
                script.say(b"mn\r\n", Line("mn", b"MN\r\n"))
                plain.sendall(script.sent)
                answer = b""
                while not answer.endswith(b"MN\r\n"):
                    if not (more := plain.recv(65536)):
                        raise Wrong(f"the first sets are answered {answer}")
                    answer += more
                if answer != b"".join(one.line for one in script.expected):
                    raise Wrong(f"the first sets are answered {answer}")

    def begin(self, owner):
        asked_for = sum(one.asked_for for one in self.connections.values())
        one = Connection(self.rng, owner, self.rng.choice(self.endpoints), self.issued,
                         max(20, MOST_ASKED_FOR - asked_for), self.totals)
        self.connections[owner] = one
        self.totals.connections += 1
        if self.totals.connections % LOOK_EVERY == 0:
            support.wait_until(lambda: open_files(self.server) < MOST_OPEN,
                               "the end of connections that were closed")

    def watch(self, one, now):
        """Has the selector look at what the connection waits for."""
        wanted = one.interest(now)
        known = self.selector.get_map().get(one.socket.fileno())
        if known is None:
            if wanted:
                self.selector.register(one.socket, wanted, one)
        elif not wanted:
            self.selector.unregister(one.socket)
        elif known.events != wanted:
            self.selector.modify(one.socket, wanted, one)

    def forget(self, one):
        del self.connections[one.owner]

    def step(self, one, now):
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(one.socket)
        try:
            if one.go_on(now):
                return
        except Wrong as error:
            self.wrong.append(f"{one}: {error}")
            one.close()
        self.forget(one)

    def run(self, seconds):
        until = time.monotonic() + seconds
        patience = until + 2 * REPLY_SECONDS
        try:
            self.store_all()
            while self.server.running() and (now := time.monotonic()) < patience:
                if now < until:
                    for owner in range(OWNERS):
                        if owner not in self.connections:
                            self.begin(owner)
                elif not self.connections:
                    break
                for one in list(self.connections.values()):
                    if one.due(now) and (not one.interest(now) or one.has_had_enough(now)):
                        self.step(one, now)
                    else:
                        self.watch(one, now)
                ready = self.selector.select(0.002)
                self.rng.shuffle(ready)
                for key, _ in ready:
                    self.step(key.data, time.monotonic())
                for one in list(self.connections.values()):
                    self.check_patience(one)
        except (Wrong, OSError, AssertionError) as error:
            self.wrong.append(repr(error))
        finally:
            for one in self.connections.values():
                one.close()
            self.selector.close()

    def check_patience(self, one):
        try:
            one.check_patience(time.monotonic())
        except Wrong as error:
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(one.socket)
            self.wrong.append(f"{one}: {error}")
            one.close()
            self.forget(one)


def one_server(serve, seed, seconds):
    """(what was wrong, totals)."""
    server, endpoints = serve()
    name = f"{serve.__name__}, seed {seed}"
    play = Play(server, endpoints, random.Random(seed))
    wrong = play.wrong
    try:
        play.run(seconds)
        if server.running():
            # One that is too old for the figure must not pass.
            left = figures(endpoints[0]).get("reply_buffer_not_empty")
            if left != "0":
                wrong.append(f"reply_buffer_not_empty is {left}")
    except OSError as error:
        wrong.append(f"no figures: {error!r}")
    totals = play.totals
    if not wrong and (totals.values < LEAST_VALUES or totals.hang_ups < LEAST_HANG_UPS):
        wrong.append(f"{totals.values} values and {totals.hang_ups} hang-ups: this was no test")
    output = server.output()
    complaint = server.stop()
    if complaint is None and server.process.returncode != 0:
        complaint = f"the server ended with {server.process.returncode}; it printed:\n{output}"
    if complaint:
        wrong.append(complaint)
    return [f"{name}: {sentence}" for sentence in wrong], totals


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=os.environ.get("LARDER_SECONDS", 1800),
                        help="for all servers together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    return parser.parse_args()


def main():
    options = arguments()
    print("seed", options.seed, flush=True)
    folder = tempfile.mkdtemp(prefix="larder-whose-")
    totals, wrong = Totals(), []
    try:
        place = Place(folder)
        rounds = max(1, math.ceil(options.seconds / LONGEST_ROUND_SECONDS / len(Place.SERVERS)))
        for number in range(rounds):
            for serve in Place.SERVERS:
                more, counted = one_server(serve.__get__(place), f"{options.seed}/{number}",
                                           options.seconds / rounds / len(Place.SERVERS))
                wrong += more
                totals.add(counted)
            if wrong:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{totals.answers} requests answered to {totals.connections} connections, {totals.bytes} bytes "
          f"({totals.values} values), {totals.hang_ups} hang-ups, {totals.foreign} foreign bytes, "
          f"{len(wrong)} findings")
    for sentence in wrong[:20]:
        print("WRONG:", sentence)
    if len(wrong) > 20:
        print(f"and {len(wrong) - 20} more")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
