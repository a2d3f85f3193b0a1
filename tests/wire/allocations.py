#!/usr/bin/python3
"""Random requests while one allocation of the server fails; and that costs one connection at most.

    LARDERD=... LARDER_FAULTS_LIBRARY=... python3 allocations.py [--seconds N] [--seed S]

Each process starts one server after the other: plain, with a password (-Y), over TLS, over a unix
socket, with UDP, with HTTP, with a cache that is full. It draws a pipeline of any dialect and the
points at which the client cuts it, and sends that again and again while the n-th allocation fails,
n rising, until no allocation fails. Each time the client must get all its replies or lose its
connection, the server must go on, and another client must get the value that it stores. At the end
no connection and no pinned item may be left. For builds with glibc's allocator.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import re
import select
import signal
import socket
import ssl
import struct
import sys
import time

from faults import FaultyServer, ask, read_all

SILENCE_SECONDS = 20  # a server that does not reply for so long is stuck
LONGEST_SERVER_SECONDS = 30
MOST_ALLOCATIONS = 2_000
KEYS = [b"k%d" % number for number in range(20)]
SIZES = (0, 5, 100, 3_000, 12_000, 70_000, 300_000, 950_000)
WEIGHTS = (1, 4, 8, 8, 4, 2, 1, 1)
USERS = "larder:secret\n"
LOGIN = b"set auth 0 0 13\r\nlarder secret\r\n"
BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Wrong(Exception):
    """What a correct server does not do."""


# -- Pipelines: (bytes, the end of the last reply).

def text_request(rng):
    key, size = rng.choice(KEYS), rng.choices(SIZES, WEIGHTS)[0]
    body = b"%d%s\r\n%s\r\n" % (size, rng.choice((b"", b" noreply")), b"v" * size)
    meta_body = b"%d%s\r\n%s\r\n" % (size, rng.choice((b"", b" c k", b" q", b" I", b" T0 F5")), b"v" * size)
    return rng.choice((
        lambda: b"%s %s\r\n" % (rng.choice((b"get", b"gets", b"gat 0", b"gats 9000")),
                                b" ".join(rng.choices(KEYS, k=rng.choice((1, 2, 20, 50))))),
        lambda: b"%s %s 7 0 %s" % (rng.choice((b"set", b"add", b"replace")), key, body),
        lambda: b"%s %s 0 0 %s" % (rng.choice((b"append", b"prepend")), key, body),
        lambda: b"cas %s 0 0 %d %d\r\n%s\r\n" % (key, size, rng.randrange(100), b"v" * size),
        lambda: b"%s %s %d\r\n" % (rng.choice((b"incr", b"decr", b"touch")), key, rng.randrange(1000)),
        lambda: b"set %s 0 0 2\r\n12\r\nincr %s 5\r\n" % (key, key),
        lambda: b"delete %s\r\n" % key,
        lambda: b"mg %s %s\r\n" % (key, rng.choice((b"v", b"s v k f c t", b"v q", b"N30 v", b"h l O7 v"))),
        lambda: b"ms %s %s" % (key, meta_body),
        lambda: b"md %s %s\r\n" % (key, rng.choice((b"q", b"I", b"x", b"k"))),
        lambda: b"ma %s %s\r\n" % (key, rng.choice((b"v", b"N0 J5 v", b"MD D3"))),
        lambda: b"me %s\r\n" % key,
        lambda: b"stats%s\r\n" % rng.choice((b"", b" settings", b" items", b" slabs", b" sizes", b" conns",
                                             b" larder")),
        lambda: b"lru_crawler metadump %s\r\n" % rng.choice((b"all", b"hash")),
        lambda: b"%s\r\n" % rng.choice((b"version", b"verbosity 0", b"nonsense", b"get " + b"k" * 300)),
        lambda: b"flush_all\r\n",
    ))()


def text_pipeline(rng):
    requests = b"".join(text_request(rng) for _ in range(rng.choice((1, 1, 2, 5, 30))))
    return requests + b"mn\r\n", b"MN\r\n"


def watch_pipeline(rng):
    return b"watch %s\r\n" % rng.choice((b"fetchers", b"mutations evictions", b"connevents")), b"\r\n"  # or that it failed


def binary_pipeline(rng):
    sent = b""

    def say(opcode, key=b"", extras=b"", value=b"", number=0):
        nonlocal sent
        sent += struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                            len(extras) + len(key) + len(value), number, 0) + extras + key + value

    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        key, value = rng.choice(KEYS), b"v" * rng.choices(SIZES, WEIGHTS)[0]
        rng.choice((
            lambda: say(rng.choice((0x00, 0x09, 0x0c, 0x0d)), key),
            lambda: say(rng.choice((0x01, 0x02, 0x03, 0x11)), key, bytes(8), value),
            lambda: say(rng.choice((0x0e, 0x0f)), key, b"", value),
            lambda: say(rng.choice((0x05, 0x06)), key, struct.pack(">QQI", 1, 5, 0)),
            lambda: say(rng.choice((0x04, 0x14)), key),
            lambda: say(rng.choice((0x1c, 0x1d)), key, bytes(4)),
            lambda: say(0x10, rng.choice((b"", b"settings", b"items"))),
            lambda: say(0x0b),
        ))()
    end = struct.pack(">BBHBBHIIQ", 0x81, 0x0a, 0, 0, 0, 0, 0, 0xdecade, 0)
    say(0x0a, number=0xdecade)
    return sent, end


# -- Clients.

def send_pipeline(seed, connect, pipeline, patient):
    """All replies come, or the connection ends. Cuts the pipeline at the same points each time."""
    requests, end = pipeline
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(requests)) for _ in range(rng.choice((0, 0, 1, 3))))
    try:
        with connect() as client:
            if not patient:
                # As much as the server takes: it reads no further while its replies are not taken.
                client.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    client.sendall(requests[:rng.randrange(len(requests)) + 1])
                return
            exchange(client, [requests[begin:until] for begin, until
                              in zip([0] + cuts, cuts + [len(requests)])], end)
    except TimeoutError as error:
        raise Wrong(f"no reply and no end for {SILENCE_SECONDS} s") from error
    except OSError:
        pass  # the server has closed it


def exchange(client, pieces, end):
    """Reads while it sends: the server reads no further while its replies are not taken."""
    client.setblocking(False)
    received = b""  # the last of it
    silent_since = time.monotonic()
    while end not in received:  # lines of a watcher may follow
        moved = False
        if pieces:
            with contextlib.suppress(*BLOCKED):
                pieces[0] = pieces[0][client.send(pieces[0]):]
                moved = True
            if not pieces[0]:
                pieces.pop(0)
                time.sleep(0.001)  # so that the pieces arrive one by one
        with contextlib.suppress(*BLOCKED):
            more = client.recv(1 << 20)
            if not more:
                return
            received = received[-len(end):] + more
            moved = True
        if moved:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > SILENCE_SECONDS:
            raise TimeoutError
        else:
            select.select([client], [client] if pieces else [], [], 1)


def send_datagram(server, request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        client.sendto(b"\0\1\0\0\0\1\0\0" + request, ("127.0.0.1", server.udp_port))
        try:
            client.recv(65536)
        except OSError:
            pass  # a datagram may be lost


def scrape(port, path):
    try:
        with socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS) as client:
            client.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
            read_all(client)
    except OSError:
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- Servers.

class Play:
    """One server and all that is tried on it."""

    KINDS = {"plain": {}, "password": {"users": USERS}, "tls": {"tls": True}, "unix": {"unix": True},
             "udp": {"udp": True}, "http": {}, "full": {}}

    def __init__(self, kind, rng):
        self.kind, self.rng = kind, rng
        self.http_port = free_port() if kind == "http" else None
        options = ["-m", "8" if kind == "full" else "64"]
        if kind == "http":
            options += ["--http", f"127.0.0.1:{self.http_port}"]
        self.server = FaultyServer(*options, **self.KINDS[kind])
        self.login = LOGIN if kind == "password" else b""
        self.requests = self.failures = 0
        self.sent = b""  # of the request in hand

    def run(self, seconds):
        if self.kind == "full":
            self.fill()
        self.check_honest()
        files = self.open_files()
        until = time.monotonic() + seconds
        while self.requests == 0 or time.monotonic() < until:
            self.fail_each(self.draw(), until)
            self.requests += 1
        self.wait_for(lambda: self.server.figure("held_items", self.login) == 0, "the release of pinned items")
        self.wait_for(lambda: self.open_files() <= files, "the end of connections that were closed")

    def fill(self):
        with self.server.connect() as client:
            client.sendall(b"".join(b"set f%d 0 0 1000 noreply\r\n%s\r\n" % (number, b"f" * 1000)
                                    for number in range(12_000)))
            ask(client, b"mn\r\n", b"MN\r\n")

    def draw(self):
        """What is done while an allocation fails: a function."""
        rng, server = self.rng, self.server
        what = rng.random()
        if self.kind == "udp" and what < 0.5:
            self.sent = request = text_request(rng)[:1200]
            return lambda: send_datagram(server, request)
        if self.kind == "http" and what < 0.5:
            self.sent = path = rng.choice((b"/metrics", b"/stats.json", b"/", b"/nothing"))
            return lambda: scrape(self.http_port, path)
        if self.kind in ("password", "tls") and what < 0.1:
            self.sent = b"SIGHUP"
            return lambda: server.process.send_signal(signal.SIGHUP)
        pipeline = rng.choices((text_pipeline, binary_pipeline, watch_pipeline), (6, 3, 1))[0](rng)
        if self.login and pipeline[0][0] == 0x80:
            pipeline = text_pipeline(rng)  # a login of -Y is text, and a connection keeps its dialect
        if rng.random() < 0.9:
            pipeline = self.login + pipeline[0], pipeline[1]
        elif self.login:
            # A stranger: `mn` does not end its replies.
            return self.talk(pipeline, patient=False)
        return self.talk(pipeline, patient=rng.random() < 0.8)

    def talk(self, pipeline, patient):
        self.sent = pipeline[0]
        # An impatient client's flush could come between a set of the other client and its get.
        patient = patient or b"flush_all" in pipeline[0]
        cuts = self.rng.random()
        encrypted = self.kind == "tls" and self.rng.random() < 0.8
        return lambda: send_pipeline(cuts, lambda: self.server.connect(encrypted), pipeline, patient)

    def fail_each(self, act, until):
        n = 1
        step = self.rng.choice((1, 1, 1, 2, 5))
        while n <= MOST_ALLOCATIONS:
            self.server.faults.fail_allocation(n)
            try:
                act()
                failed = self.server.faults.stop()
                self.check_honest()
            except (Wrong, OSError) as error:
                sent = re.sub(rb"(v{9})v+", rb"\1...", self.sent)[:2000]
                raise Wrong(f"allocation {n} of request {self.requests}, {sent}: {error!r}") from error
            self.failures += failed
            n += step
            if failed == 0 or time.monotonic() > until:
                return

    def check_honest(self):
        if not self.server.running():
            raise Wrong(f"larderd ended with {self.server.process.returncode}:\n{self.server.printed()}")
        # In a full cache a value may be evicted before it is asked for: not three times in a row.
        for attempts_left in (2, 1, 0) if self.kind == "full" else (0,):
            if self.honest_client_is_served(attempts_left > 0):
                return

    def honest_client_is_served(self, may_miss):
        value = b"%d" % self.rng.randrange(1 << 30) * 50
        with self.server.connect() as client:
            stored = ask(client, self.login + b"ms honest %d\r\n%s\r\n" % (len(value), value), b"HD\r\n")
            answer = ask(client, b"get honest\r\n", b"END\r\n")
        expected = (b"STORED\r\n" if self.login else b"") + b"HD\r\n"
        if may_miss and stored == expected and answer == b"END\r\n":
            return False
        if stored != expected or answer != b"VALUE honest 0 %d\r\n%s\r\nEND\r\n" % (len(value), value):
            raise Wrong(f"another client is answered {stored} and {answer[:100]}")
        return True

    def open_files(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    @staticmethod
    def wait_for(condition, name):
        end = time.monotonic() + SILENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise Wrong(f"{name} did not come within {SILENCE_SECONDS} s")
            time.sleep(0.01)


def one_server(kind, seed, seconds):
    """What was wrong with it."""
    play = Play(kind, random.Random(seed))
    wrong = []
    try:
        play.run(seconds)
        if play.failures == 0:
            wrong.append("no allocation failed: this was no test")
    except (Wrong, OSError) as error:
        wrong.append(repr(error))
    wrong += filter(None, (play.server.stop(),))
    print(f"{kind}, seed {seed}: {play.failures} allocations failed in {play.requests} requests", flush=True)
    return [f"{kind}, seed {seed}: {sentence}" for sentence in wrong]


def run_process(number, options, results):
    wrong = ["the process of the test has died"]
    try:
        rounds = max(1, round(options.seconds / LONGEST_SERVER_SECONDS / len(Play.KINDS)))
        seconds = options.seconds / rounds / len(Play.KINDS)
        wrong = [sentence for n in range(rounds) for kind in Play.KINDS
                 for sentence in one_server(kind, f"{options.seed}/{number}/{n}", seconds)]
    finally:
        results.send(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=os.environ.get("LARDER_SECONDS", 30))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    pipes = []
    for number in range(options.processes):
        results, end = multiprocessing.Pipe(duplex=False)
        multiprocessing.Process(target=run_process, args=(number, options, end)).start()
        end.close()
        pipes.append(results)
    wrong = [sentence for results in pipes for sentence in results.recv()]
    for sentence in wrong:
        print("FOUND:", sentence)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
