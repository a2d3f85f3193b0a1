#!/usr/bin/python3
"""Clients that log in, or fail to, and leave at any moment; and no reply may be wrong.

    LARDERD=build/asan/larderd tests/client/logins.py --seconds 1800

Servers that ask who a client is, by SASL (-S) and by a file of users (-Y), over TCP and over TLS, get
clients that pipeline logins and commands, send them cut anywhere, stall, half-close, and reset, also
in the middle of a TLS handshake. Every client knows which replies it must get (`Expected`), in their
order and each of them once: who is not admitted is answered so, and sees no value. A value says in
itself which key it belongs to (day_in_the_life.piece). Ends with 1 if a reply was wrong, missing or
one too many, or if a server ended or did not stop.
"""

import argparse
import collections
import contextlib
import multiprocessing
import os
import random
import re
import shutil
import socket
import ssl
import struct
import tempfile
import time

import support
from auth_support import Certificates, QuietServer
from day_in_the_life import Wrong, piece, pieces_of

CLIENTS = 40              # at a time
KEYS = [b"k%d" % number for number in range(9)]
SIZES = (0, 5, 3_000, 70_000)
USER, PASSWORD = "alice", "sekret"
CUTS = (1, 24, 100, 1_500, 70_000, 1 << 20)  # bytes that are sent at once, at most
REPLY_SECONDS = 20        # a server that says nothing for so long is stuck
# Clients wait while the server has not seen the end of so many, or it would turn some away.
MOST_OPEN = 500
LOOK_EVERY = 256          # connections
LEAST_ANSWERS = 50        # of one server, however slow the machine is
PLAN = (("sasl", False), ("users", False), ("sasl", True), ("users", True))  # and whether over TLS

# -- What a connection is to be answered.


class Expected:
    """One request's part of the replies.

    take(data)  how many of the bytes are its replies; 0: more is needed. Raises Wrong.
    """

    quiet = False  # a success has no reply

    def __init__(self, name):
        self.name = name

    def may_be_silent(self, _data):
        """Whether it has no reply, and the data belongs to the next one."""
        return False


class Line(Expected):
    def __init__(self, name, *lines):
        super().__init__(name)
        self.lines = lines

    def take(self, data):
        end = data.find(b"\n") + 1
        if end == 0:
            if len(data) > 200:
                raise Wrong(f"{self.name} is answered {data[:100]}")
            return 0
        if data[:end] not in self.lines:
            raise Wrong(f"{self.name} is answered {data[:min(end, 100)]}, not {self.lines}")
        return end


class Value(Expected):
    """Of a get of one key by somebody who is in: its value or none."""

    HEAD = re.compile(rb"VALUE (\S+) 0 (\d+)\r\n")

    def __init__(self, key):
        super().__init__(f"get {key}")
        self.key = key

    def take(self, data):
        if data.startswith(b"END\r\n"):
            return 5
        head = self.HEAD.match(data)
        if not head:
            if b"\n" in data[:300] or len(data) > 300:
                raise Wrong(f"{self.name} is answered {data[:100]}")
            return 0
        end = head.end() + int(head[2])
        if len(data) < end + 7:
            return 0
        if head[1] != self.key or data[end:end + 7] != b"\r\nEND\r\n":
            raise Wrong(f"{self.name} is answered {data[:60]} ... {data[end:end + 7]}")
        pieces_of(self.key, data[head.end():end])
        return end + 7


class Packet(Expected):
    """A reply of the binary protocol, which bears the number of its request.

    key    of a get: the value must be this key's
    quiet  a success has no reply
    rows   several replies, the last of which is empty
    """

    def __init__(self, opcode, number, *statuses, key=None, quiet=False, rows=False):
        super().__init__(f"opcode {opcode:#x}, number {number}")
        self.opcode, self.number, self.statuses = opcode, number, statuses
        self.key, self.quiet, self.rows = key, quiet, rows

    def may_be_silent(self, data):
        return self.quiet and len(data) >= 24 and int.from_bytes(data[12:16], "big") != self.number

    def take(self, data):
        at = 0
        while len(data) >= at + 24:
            magic, opcode, key_bytes, extra_bytes, _, status, body_bytes, number, _ = struct.unpack_from(
                ">BBHBBHIIQ", data, at)
            if (magic, opcode, number) != (0x81, self.opcode, self.number) or status not in self.statuses:
                raise Wrong(f"{self.name} is answered with magic {magic:#x}, opcode {opcode:#x}, "
                            f"number {number} and status {status:#x}, not {self.statuses}")
            if len(data) < at + 24 + body_bytes:
                return 0
            if self.key is not None and status == 0:
                pieces_of(self.key, data[at + 24 + extra_bytes + key_bytes:at + 24 + body_bytes])
            at += 24 + body_bytes
            if not self.rows or body_bytes == 0 or status != 0:
                return at
        return 0


# -- What a connection says. `script` makes (bytes, [Expected, ...], whether the server closes then).

def sasl_script(rng):
    """By SASL, in the binary protocol."""
    script = SaslScript(rng)
    if rng.random() < 0.7:
        rng.choice((lambda: None, script.version, script.list))()
        script.start(PASSWORD)
    for _ in range(rng.choice((1, 2, 5, 20))):
        if script.closes:
            break
        rng.choices((script.login, script.command), (0.35, 0.65))[0]()
    return bytes(script.sent), script.expected, script.closes


class SaslScript:
    FAILURE, TOO_LONG = 0x20, 0x82

    def __init__(self, rng):
        self.rng = rng
        self.sent = bytearray()
        self.expected = []
        self.admitted = self.closes = False

    def ask(self, opcode, *statuses, key=b"", value=b"", extras=b"", **more):
        number = len(self.expected) + 1
        self.sent += struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                                 len(extras) + len(key) + len(value), number, 0) + extras + key + value
        self.expected.append(Packet(opcode, number, *statuses, **more))

    def version(self):
        self.ask(0x0b, 0)

    def list(self):
        self.ask(0x20, 0)

    def start(self, password):
        self.admitted = password == PASSWORD
        self.ask(0x21, 0 if self.admitted else self.FAILURE, key=b"PLAIN",
                 value=f"\0{USER}\0{password}".encode())

    def login(self):
        what = self.rng.random()
        if what < 0.55:
            self.start(PASSWORD)
        elif what < 0.75:
            self.start("wrong")
        elif what < 0.85:
            self.admitted = False
            size = self.rng.choice((0, 10, 16_000, 17_000))
            self.ask(0x22, self.TOO_LONG if size > 16_384 else self.FAILURE, key=b"PLAIN",
                     value=b"x" * size)
        else:
            self.rng.choice((self.version, self.list))()

    def command(self):
        key = self.rng.choice(KEYS)
        what = self.rng.choices(("noop", "set", "get", "setq", "stat", "flush", "quit"),
                                (5, 10, 12, 14, 5, 1, 2))[0]
        if not self.admitted:
            self.ask({"noop": 0x0a, "set": 1, "get": 0, "setq": 0x11, "stat": 0x10, "flush": 8,
                      "quit": 7}[what], self.FAILURE, key=key if what in ("set", "get", "setq") else b"",
                     extras=b"\0" * 8 if what in ("set", "setq") else b"")
            self.closes = True
        elif what == "noop":
            self.ask(0x0a, 0)
        elif what in ("set", "setq"):
            value = piece(key, self.rng.randrange(1000), self.rng.choice(SIZES))
            self.ask(1 if what == "set" else 0x11, *((0,) if what == "set" else ()), key=key, value=value,
                     extras=b"\0" * 8, quiet=what == "setq")
        elif what == "get":
            self.ask_for(key)
        elif what == "stat":
            self.ask(0x10, 0, key=self.rng.choice((b"", b"settings", b"items")), rows=True)
        elif what == "flush":
            self.ask(8, 0)
        else:
            self.ask(7, 0)
            self.closes = True

    def ask_for(self, key):
        number = len(self.expected) + 1
        self.sent += struct.pack(">BBHBBHIIQ", 0x80, 0, len(key), 0, 0, 0, len(key), number, 0) + key
        self.expected.append(Packet(0, number, 0, 1, key=key))


def users_script(rng):
    """By a file of users, in the text protocol."""
    sent, expected, admitted = bytearray(), [], False

    def say(request, reply):
        sent.extend(request)
        expected.append(reply)

    def login(password):
        token = f"{USER} {password}".encode()
        verb, done = rng.choice(((b"set login 0 0 %d", b"STORED\r\n"), (b"ms login %d", b"HD\r\n")))
        allowed = admitted or password == PASSWORD  # who is in stores it
        say(verb % len(token) + b"\r\n" + token + b"\r\n",
            Line("a login", done if allowed else b"CLIENT_ERROR authentication failure\r\n"))
        return allowed

    if rng.random() < 0.7:
        admitted = login(PASSWORD)
    for _ in range(rng.choice((1, 2, 5, 20))):
        key = rng.choice(KEYS)
        what = rng.choices(("login", "get", "set", "quiet", "version", "quit"), (8, 12, 10, 6, 4, 1))[0]
        if what == "login":
            admitted = login(rng.choice((PASSWORD, "wrong")))
        elif not admitted:
            say(rng.choice((b"get %s\r\n", b"mg %s v k\r\n", b"delete %s\r\n")) % key,
                Line("a stranger", b"CLIENT_ERROR unauthenticated\r\n"))
        elif what == "get":
            say(b"get %s\r\n" % key, Value(key))
        elif what in ("set", "quiet"):
            value = piece(key, rng.randrange(1000), rng.choice(SIZES))
            quiet = b" noreply" if what == "quiet" else b""
            sent.extend(b"set %s 0 0 %d%s\r\n%s\r\n" % (key, len(value), quiet, value))
            if not quiet:
                expected.append(Line("a set", b"STORED\r\n"))
        elif what == "version":
            say(b"version\r\n", Line("version", b"VERSION 1.6.45\r\n"))
        else:
            sent.extend(b"quit\r\n")
            return bytes(sent), expected, True
    return bytes(sent), expected, False


SCRIPTS = {"sasl": sasl_script, "users": users_script}

# -- Clients.


class Tls:
    """Between a client's bytes and those on the wire."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.unsent = b""
        self.shaken = False

    def seal(self, data):
        """The bytes to be sent for it, and for what is left of the handshake."""
        self.unsent += data
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            if self.unsent:
                self.tls.write(self.unsent)
                self.unsent = b""
        return self.outgoing.read()

    def open(self, data):
        self.incoming.write(data)
        opened = b""
        if self.shaken:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while True:
                    more = self.tls.read(1 << 16)
                    if not more:
                        break
                    opened += more
        return opened

    def end(self):
        """The record that says that nothing more will be sent."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()  # would wait for the server's
        return self.outgoing.read()


class Clear:
    shaken = True

    @staticmethod
    def seal(data):
        return data

    @staticmethod
    def open(data):
        return data


class Client:
    """One connection that is never waited for."""

    def __init__(self, rng, place, script, layer):
        self.rng = rng
        self.layer = layer
        data, expected, self.closes = script(rng)
        self.expected = collections.deque(expected)
        self.wire = layer.seal(data)  # what is to be sent
        self.received = b""
        self.half_closed = False
        self.answers = 0
        self.silent_since = time.monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(place)

    def go_on(self):
        """Does something. Returns whether the connection is still there."""
        try:
            self.send()
            if self.rng.random() < 0.3 and not self.receive():
                return self.leave()
        except (ConnectionError, ssl.SSLError):
            self.check_end()
            return self.leave()
        whole = not self.wire and self.layer.shaken
        if whole and not self.missing() and not self.closes and self.rng.random() < 0.5:
            return self.leave()
        if self.rng.random() < (0.01 if self.wire else 0.03):
            return self.leave(reset=self.rng.random() < 0.6)
        if whole and not self.half_closed and self.rng.random() < 0.02 and isinstance(self.layer, Clear):
            self.half_closed = True
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        if time.monotonic() - self.silent_since > REPLY_SECONDS and whole and self.missing():
            raise Wrong(f"nothing comes for {self.missing()[0]}")
        return True

    def send(self):
        with contextlib.suppress(BlockingIOError):
            if self.wire:
                self.wire = self.wire[self.socket.send(self.wire[:self.rng.choice(CUTS)]):]
                self.silent_since = time.monotonic()

    def receive(self):
        """False: it is over, and was so in good order."""
        try:
            data = self.socket.recv(self.rng.choice((1, 100, 1 << 20)))
        except BlockingIOError:
            return True
        if not data:
            self.check_end()
            return False
        self.silent_since = time.monotonic()
        self.received += self.layer.open(data)
        if not self.layer.shaken:
            self.wire += self.layer.seal(b"")
            self.received += self.layer.open(b"")
        self.compare()
        return True

    def compare(self):
        while self.received:
            while self.expected and self.expected[0].may_be_silent(self.received):
                self.expected.popleft()
            if not self.expected:
                raise Wrong(f"more than is asked for: {self.received[:100]}")
            taken = self.expected[0].take(self.received)
            if taken == 0:
                return
            self.expected.popleft()
            self.answers += 1
            self.received = self.received[taken:]

    def missing(self):
        return [one.name for one in self.expected if not one.quiet]

    def check_end(self):
        """The server has closed: was that expected?"""
        missing = self.missing()
        if not self.closes and not self.half_closed:
            raise Wrong(f"the server has closed with {len(missing)} replies missing: {missing[:2]}")
        # Of a connection that is closed with input unread the network may lose the last replies.
        if missing and self.half_closed and not self.closes:
            raise Wrong(f"the end came before the replies to {missing[:2]}")

    def leave(self, reset=False):
        with contextlib.suppress(OSError):
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
        return False


# -- Servers.

@contextlib.contextmanager
def environment(**variables):
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


class Place:
    """A folder with what servers need: users, certificates."""

    def __init__(self, folder):
        self.folder = folder
        os.chmod(folder, 0o755)
        write(os.path.join(folder, "memcached.conf"), "mech_list: plain\n")
        self.passwords = write(os.path.join(folder, "passwords"),
                               f"{USER}@{socket.gethostname()}:{PASSWORD}\n")
        self.users = write(os.path.join(folder, "users"), f"{USER}:{PASSWORD}\n")
        self.certificates = Certificates(folder)
        self.context = self.certificates.context(None)

    def serve(self, kind, tls):
        options = ["-t", 2, "-m", 64, "-c", 4096, *(("-S", "-B", "binary") if kind == "sasl" else ("-Y", self.users))]
        if tls:
            options += ["-Z", "-o", f"ssl_chain_cert={self.certificates.path('server.pem')},"
                                    f"ssl_key={self.certificates.path('server.key')}"]
        with environment(SASL_CONF_PATH=self.folder, MEMCACHED_SASL_PWDB=self.passwords):
            return QuietServer(*options)


def open_files(server):
    try:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))
    except OSError:  # it has ended
        return 0


def log_in_and_out(server, script, layer, rng, seconds):
    """(how many connections, how many replies)."""
    clients, connections, answers = [], 0, 0
    until = time.monotonic() + seconds
    try:
        while (time.monotonic() < until or answers < LEAST_ANSWERS) and server.running():
            while len(clients) < CLIENTS:
                clients.append(Client(rng, ("127.0.0.1", server.port), script, layer()))
                connections += 1
                if connections % LOOK_EVERY == 0:
                    support.wait_until(lambda: open_files(server) < MOST_OPEN,
                                       "the end of connections that were closed")
            number = rng.randrange(len(clients))
            if not clients[number].go_on():
                answers += clients[number].answers
                clients[number] = clients[-1]
                clients.pop()
    finally:
        for client in clients:
            client.leave()
    return connections, answers


def one_server(place, kind, tls, seed, seconds):
    """What was wrong with it, or None."""
    name = f"{kind} over {'TLS' if tls else 'TCP'}, seed {seed}"
    layer = (lambda: Tls(place.context)) if tls else Clear
    server = place.serve(kind, tls)
    wrong = None
    try:
        connections, answers = log_in_and_out(server, SCRIPTS[kind], layer, random.Random(seed), seconds)
        print(f"{name}: {connections} connections, {answers} replies in their order", flush=True)
    except Wrong as error:
        wrong = str(error)
    output = server.output()
    complaint = server.stop()
    if complaint is None and server.process.returncode != 0:
        complaint = f"the server ended with {server.process.returncode}; it printed:\n{output}"
    wrong = "; ".join(filter(None, (wrong, complaint)))
    return f"{name}: {wrong}" if wrong else None


def run_process(number, options, results):
    """As long as nothing is wrong, one server after the other."""
    folder = tempfile.mkdtemp(prefix="larder-logins-")
    wrong = ["the process of the test has died"]
    try:
        place = Place(folder)
        each = min(options.seconds / len(PLAN), options.longest)
        rounds = max(1, round(options.seconds / each / len(PLAN)))
        wrong = [sentence for n in range(rounds) for kind, tls in PLAN
                 if (sentence := one_server(place, kind, tls, f"{options.seed}/{number}/{n}", each))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        results.send(wrong)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=os.environ.get("LARDER_SECONDS", 600))
    parser.add_argument("--longest", type=float, default=30, help="seconds that one server lives, at most")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    return parser.parse_args()


def main():
    options = arguments()
    print("seed", options.seed, flush=True)
    pipes = []
    for number in range(options.processes):
        results, end = multiprocessing.Pipe(duplex=False)
        multiprocessing.Process(target=run_process, args=(number, options, end)).start()
        end.close()
        pipes.append(results)
    wrong = []
    for results in pipes:
        try:
            wrong += results.recv()
        except EOFError:
            wrong.append("a process of the test has died")
    for sentence in wrong:
        print("WRONG:", sentence)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
