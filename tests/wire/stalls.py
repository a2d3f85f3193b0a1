"""Workers that the system holds up, at any system call, beside clients that store and read.

A library (tests/preload/faults.cc) holds up one thread of larderd at a time, at a random call on a
socket or event loop, for 20 ms to 1.5 s. Meanwhile clients of both workers store and read through a
full cache. Nothing may be refused, unless the stall lasted as long as a store waits for memory; no
reply may be wrong; the cache keeps its items; what was borrowed is given back. Nothing fails because
it took long. How often workers rested is printed: on a busy machine they also do for threads that
the system itself holds up. For builds with glibc's allocator.

    LARDERD=... LARDER_FAULTS_LIBRARY=... python3 stalls.py [--seconds N] [--seed S]
"""

import argparse
import os
import random
import re
import sys
import threading
import time

from faults import FaultyServer

WORKERS = 2
WRITERS = 4
READERS = 2
KEYS = 200_000  # of 300 bytes and more: the cache is always full
PATIENCE_SECONDS = 1  # kMemoryPatienceSeconds in daemon/pump.h


def value_of(key, write):
    return b"%d/%d/" % (key, write) + b"v" * (200 + key * 37 % 900)


class Client(threading.Thread):
    def __init__(self, server, seed, stop):
        super().__init__()
        self.server, self.draw, self.stop = server, random.Random(seed), stop
        self.requests = self.refused = 0
        self.wrong = []

    def run(self):
        try:
            with self.server.connect() as client:
                client.settimeout(60)
                self.file = client.makefile("rwb", 1 << 16)
                while not self.stop.is_set():
                    self.step()
        except OSError as error:
            if not self.stop.is_set():
                self.wrong.append(f"the connection ended: {error}")


class Writer(Client):
    def step(self):
        batch = [self.draw.randrange(KEYS) for _ in range(self.draw.choice((1, 1, 8, 32)))]
        for key in batch:
            value = value_of(key, self.draw.randrange(1_000_000))
            self.file.write(b"set k%d 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        self.file.flush()
        for _ in batch:
            reply = self.file.readline()
            self.requests += 1
            if reply.startswith(b"SERVER_ERROR out of memory"):
                self.refused += 1
            elif reply != b"STORED\r\n":
                self.wrong.append(f"a set is answered {reply!r}")
                return


class Reader(Client):
    def step(self):
        key = self.draw.randrange(KEYS)
        self.file.write(b"get k%d\r\n" % key)
        self.file.flush()
        line = self.file.readline()
        self.requests += 1
        if line == b"END\r\n":
            return
        head = re.fullmatch(rb"VALUE k(\d+) 0 (\d+)\r\n", line)
        if head is None or int(head.group(1)) != key:
            self.wrong.append(f"a get of k{key} is answered {line!r}")
            return
        value = self.file.read(int(head.group(2)) + 2)
        if not value.startswith(b"%d/" % key) or self.file.readline() != b"END\r\n":
            self.wrong.append(f"k{key} has the value {value[:40]!r}")


def play(seconds, seed):
    draw = random.Random(seed)
    server = FaultyServer("-m", "64", "-t", str(WORKERS))
    complaints = []
    try:
        with server.connect() as client:
            file = client.makefile("rwb", 1 << 16)
            for key in range(KEYS):
                value = value_of(key, 0)
                file.write(b"set k%d 0 0 %d noreply\r\n%s\r\n" % (key, len(value), value))
            file.write(b"mn\r\n")
            file.flush()
            assert file.readline() == b"MN\r\n"
        items = server.figure("items")
        stop = threading.Event()
        clients = [Writer(server, seed * 100 + i, stop) for i in range(WRITERS)]
        clients += [Reader(server, seed * 100 + 50 + i, stop) for i in range(READERS)]
        for client in clients:
            client.start()
        end = time.monotonic() + seconds
        stalls = long_stalls = 0
        while time.monotonic() < end and server.running():
            length = draw.choice((0.02, 0.05, 0.2, 0.5, 0.8, 1.5))
            long_stalls += length >= PATIENCE_SECONDS
            before = server.faults.stalls_ended()
            server.faults.stall(draw.randrange(1, 400), length)
            stalls += 1
            overdue = time.monotonic() + length + 60
            while server.faults.stalls_ended() == before and server.running():
                if time.monotonic() > overdue:
                    complaints.append("a stall did not end: the server makes no calls")
                    end = 0
                    break
                time.sleep(0.01)
            time.sleep(draw.choice((0, 0.05, 0.3)))
        stop.set()
        for client in clients:
            client.join(60)
            complaints += client.wrong[:3]
        if not server.running():
            complaints.append(f"larderd ended with {server.process.returncode}: {server.printed()}")
            return complaints
        requests = sum(client.requests for client in clients)
        refused = sum(client.refused for client in clients)
        if refused and not long_stalls:
            complaints.append(f"{refused} sets were refused, and no stall lasted a second")
        rests = server.figure("rests_for_readers")
        left = server.figure("items")
        if left < items * 0.9:
            complaints.append(f"{items} items before, {left} after")
        given_back = time.monotonic() + 20
        while server.figure("overdraft_bytes") > 0 and time.monotonic() < given_back:
            time.sleep(0.1)
        if server.figure("overdraft_bytes") > 0:
            complaints.append("what was borrowed is not given back")
        print(f"{stalls} stalls ({long_stalls} of {PATIENCE_SECONDS} s and more), "
              f"{requests} requests, {refused} refused, {rests} rests, "
              f"items {items} before and {left} after, "
              f"overdraft at most {server.figure('overdraft_peak_bytes')} bytes")
    finally:
        complaint = server.stop()
        if complaint:
            complaints.append(complaint)
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=os.environ.get("LARDER_SECONDS", 30))
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    print("seed", arguments.seed, flush=True)
    complaints = play(arguments.seconds, arguments.seed)
    for complaint in complaints:
        print("FOUND:", complaint)
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
