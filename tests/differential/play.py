"""Plays streams to two servers at once and says where their answers part."""

import os
import pwd
import random
import select
import shlex
import socket
import struct
import subprocess
import tempfile
import time

import replies
from streams import Key64, PREFIX_BYTES

# A server that says nothing for this long is not going to answer: it waits for more of a request.
SILENCE_SECONDS = 0.25
# The same when the other server has answered, so that a slow moment is not taken for a difference.
PATIENCE_SECONDS = 5.0
# One that is busy for longer than this is in a loop.
BUSY_SECONDS = 30.0
NUDGE_SECONDS = 0.03
WATCHER_PAUSE_SECONDS = 0.1
WATCHED_LAST = b"the-last"
START_TIMEOUT_SECONDS = 20
CUT_END = object()
TEXT_STORE = b"ms %s~ 0\r\n\r\n"
BINARY_NOOP = struct.pack(">BBHBBHIIQ", 0x80, 0x0a, 0, 0, 0, 0, 0, 0, 0)


class ServerDied(Exception):
    pass


class Side:
    """One of the two servers: its process, its connections, the CAS values it has answered.

    options  added to a command that does not say itself where to listen
    """

    def __init__(self, name, command, options=""):
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        if "{port}" not in command:
            user = f" -u {pwd.getpwuid(0).pw_name}" if os.geteuid() == 0 else ""
            command += f"{user} -l 127.0.0.1 -p {{port}} {options}"
        self.command = shlex.split(command.replace("{port}", str(self.port)))
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.sockets = {}
        self.version = self._wait_until_it_answers()

    def stop(self):
        self.disconnect()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.log.close()

    def begin(self, prefix):
        """A new play: fresh connections, fresh keys, nothing stored."""
        self.disconnect()
        self.prefix = prefix
        self.now = int(time.time())
        self.memory = replies.CasMemory()
        with self._connect() as plain:
            plain.setblocking(True)
            plain.settimeout(PATIENCE_SECONDS)
            plain.sendall(b"flush_all\r\n")
            if plain.recv(64) != b"OK\r\n":
                raise ServerDied(f"the {self.name} does not take flush_all")

    def cas_of(self, name, which):
        return self.memory.cas_of(name, which)

    def socket_for(self, wire, greeting=b""):
        """The connection for `wire`; a new one sends `greeting` and waits for the answer."""
        if wire not in self.sockets:
            plain = self.sockets[wire] = self._connect()
            if greeting:
                plain.settimeout(PATIENCE_SECONDS)
                plain.sendall(greeting)
                plain.recv(1000)
                plain.setblocking(False)
        return self.sockets[wire]

    def ask(self, wire, request, end):
        """On a connection of its own; what comes back until `end`."""
        plain = self.socket_for(wire)
        plain.setblocking(True)
        plain.settimeout(PATIENCE_SECONDS)
        plain.sendall(request)
        answer = b""
        while not answer.endswith(end):
            more = plain.recv(1 << 16)
            if not more:
                raise ServerDied(f"the {self.name} closed after {replies.show(answer)}")
            answer += more
        plain.setblocking(False)
        return answer

    def watched(self):
        """What the watcher was shown. memcached may keep the last lines to itself until there is
        another one, so one is made, again and again."""
        plain = self.socket_for("watcher")
        plain.setblocking(True)
        plain.settimeout(WATCHER_PAUSE_SECONDS)
        received = b""
        last = self.prefix + WATCHED_LAST
        deadline = time.monotonic() + PATIENCE_SECONDS
        while last not in received and time.monotonic() < deadline:
            self.ask("text", b"mg " + last + b"\r\n", b"EN\r\n")
            try:
                received += plain.recv(1 << 20)
            except socket.timeout:
                pass
        plain.setblocking(False)
        return received

    def is_busy(self):
        """Whether a thread of the server has something to do: runs, or waits for a processor."""
        tasks = f"/proc/{self.process.pid}/task"
        try:
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/stat") as file:
                    if file.read().rpartition(")")[2].split()[0] in "RD":
                        return True
        except OSError:
            pass  # the thread, or all of the server, is gone
        return False

    def disconnect(self, wire=None):
        for name in list(self.sockets):
            if wire in (None, name):
                self.sockets.pop(name).close()

    def said(self):
        """The end of what the process has printed."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace")

    def _connect(self):
        try:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        except OSError as error:
            raise ServerDied(f"the {self.name} takes no connection ({error}), exit code "
                             f"{self.process.poll()}:\n{self.said()}") from None
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setblocking(False)
        return plain

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                    self._raise_cas(plain)
                    plain.sendall(b"version\r\n")
                    answer = plain.recv(100)
                    if answer.startswith(b"VERSION "):
                        return answer.split()[1].decode()
            except OSError:
                time.sleep(0.02)
        self.process.kill()
        raise SystemExit(f"{shlex.join(self.command)} does not answer: {self.said()}")

    def _raise_cas(self, plain):
        """Stores so much that the CAS values the server chooses are beyond FIRST_NATURAL_CAS,
        also if it counts them per part of its keys."""
        plain.sendall(b"".join(b"set warm%d 0 0 1 noreply\r\nx\r\n" % number
                               for number in range(100_000)))


class Exchange:
    """What one server does with one batch: bytes go out in pieces, its answer comes in."""

    def __init__(self, side, wire, pieces, greeting):
        self.side = side
        self.wire = wire
        self.socket = side.socket_for(wire, greeting)
        self.pieces = pieces
        self.received = bytearray()
        self.closed = False
        self.done = False
        self.awaited = None

    def push(self):
        """Sends the next piece as far as it goes; returns whether anything went."""
        if not self.pieces or self.closed:
            self.pieces = []
            return False
        piece = self.pieces[0]
        if piece is CUT_END:
            self.pieces.pop(0)
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return True
        try:
            sent = self.socket.send(piece)
        except BlockingIOError:
            return False
        except OSError:
            self.pieces = []  # closed: what it said before is still to be read
            return False
        if sent == len(piece):
            self.pieces.pop(0)
        else:
            self.pieces[0] = piece[sent:]
        return True

    def pull(self):
        """Reads what is there; returns whether anything was."""
        if self.closed:
            return False
        try:
            more = self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        except OSError:
            more = b""
        if more:
            self.received += more
        else:
            self.closed = True
        self.check()
        return True

    def check(self):
        self.done = self.closed or (
            self.awaited is not None and not self.pieces and self.received.endswith(self.awaited))


class Player:
    """Plays streams to `reference` and `subject`.

    rewrites  for each of the two what to do with what it has said over text: takes the known
              errors of the reference out
    rows      whether the rows of stats have to be the same
    """

    def __init__(self, reference, subject, rewrites, rows):
        self.sides = (reference, subject)
        self.rewrites = rewrites
        self.rows = rows
        self.plays = 0
        self.nonce = 0
        self.requests_played = 0

    def play(self, stream, requests=None, whole_writes=False):
        """Plays `requests` (by default all of the stream) and returns None or a Difference.

        whole_writes  do not cut them"""
        requests = stream.requests if requests is None else requests
        self.plays += 1
        prefix = (b"%0*x" % (PREFIX_BYTES, self.plays))[-PREFIX_BYTES:]
        for side in self.sides:
            side.begin(prefix)
        self.cuts = random.Random(stream.cut_seed)
        self.whole_writes = whole_writes
        self.opaques = {}
        self.in_base64 = set()
        if stream.dialect == "watched":
            for side in self.sides:
                side.ask("watcher", b"watch fetchers mutations deletions\r\n", b"OK\r\n")
        found = self._play_requests(requests)
        if found is None and stream.dialect == "watched":
            found = self._look_from_outside(requests)
        return found

    def _look_from_outside(self, requests):
        """What watchers saw, and what a dump shows."""
        saw, dumps, keys = [], [], []
        for side in self.sides:
            saw.append(replies.read_watched(side.watched(), side.prefix, (b"~", WATCHED_LAST)))
            for dump, end, read in ((b"metadump", b"END\r\n", dumps), (b"mgdump", b"EN\r\n", keys)):
                answer = side.ask("dump", b"lru_crawler " + dump + b" all\r\n", end)
                read.append(replies.read_dumped(answer, side.memory, side.prefix))
        for name, read in (("watched", saw), ("metadump", dumps), ("mgdump", keys)):
            what, index = replies.difference(*read) or (None, 0)
            if what:
                around = [exact[max(0, index - 3):index + 4] for exact, loose in read]
                return Difference(f"{name}: {what}", len(requests), requests, around)
        return None

    def _play_requests(self, requests):
        batch, read = [], set()
        for position, request in enumerate(requests):
            if request.opaque is not None:
                self.opaques[request.opaque] = request.key
            self.in_base64 |= {part.name for part in request.parts if type(part) is Key64}
            new_batch = batch and (
                request.settles or batch[-1].unsettles or request.seconds or request.alone == "cut"
                or request.wire != batch[-1].wire or self.cuts.random() < 0.01
                or (request.kind == "count" and not read.isdisjoint(request.names())))
            if new_batch:
                found = self._batch(batch, position)
                if found:
                    return found
                batch, read = [], set()
            if request.seconds:
                time.sleep(request.seconds)
                continue
            batch.append(request)
            if request.kind == "read":
                read |= request.names()
            if request.alone:
                found = self._batch(batch, position + 1)
                if found:
                    return found
                batch, read = [], set()
        return self._batch(batch, len(requests)) if batch else None

    def _batch(self, batch, position):
        self.requests_played += len(batch)
        wire, alone = batch[-1].wire, batch[-1].alone
        exchanges = []
        cut_seed = self.cuts.getrandbits(32)
        self.nonce += 1
        for side in self.sides:
            data = b"".join(request.render(side) for request in batch)
            sentinel, awaited = self._sentinel(wire)
            if not alone:
                data += sentinel
            pieces = [data] if self.whole_writes else cut(data, random.Random(cut_seed))
            if alone == "cut":
                pieces.append(CUT_END)
            # The first byte chooses the protocol, so a wrong one must not come first; and what an
            # ms that was cut left behind must not be the CAS value of the first store (known.py).
            greeting = TEXT_STORE % side.prefix if wire == "text" else BINARY_NOOP if alone else b""
            exchange = Exchange(side, wire, pieces, greeting)
            exchange.awaited = None if alone else awaited
            exchanges.append(exchange)
        self._run(exchanges, wire, alone, SILENCE_SECONDS)
        what, around = self._compare(exchanges, wire)
        if what and not all(exchange.done for exchange in exchanges):
            self._run(exchanges, wire, alone, PATIENCE_SECONDS)
            what, around = self._compare(exchanges, wire)
        for exchange in exchanges:
            exchange.side.memory = exchange.memory
            if exchange.closed or not exchange.done:
                exchange.side.disconnect(wire)
        for side in self.sides:
            if side.process.poll() is not None:
                raise ServerDied(f"the {side.name} ended with {side.process.returncode}:\n"
                                 f"{side.said()}")
        return Difference(what, position, batch, around) if what else None

    def _compare(self, exchanges, wire):
        """(what differs or None, the replies around it)."""
        reader = replies.Text if wire == "text" else replies.Binary
        read = []
        for exchange, rewrite in zip(exchanges, self.rewrites):
            side = exchange.side
            exchange.memory = side.memory.copy()
            received = bytes(exchange.received)
            if wire == "text":
                received = rewrite(received)
            read.append(reader(exchange.memory, side.prefix, self.opaques, self.in_base64,
                               self.rows).read(received))
        what, index = replies.difference(*read) or (None, len(read[0][0]))
        if what is None and exchanges[0].closed != exchanges[1].closed:
            closer = exchanges[0] if exchanges[0].closed else exchanges[1]
            what = f"only the {closer.side.name} closes the connection"
        if what is None and exchanges[0].done != exchanges[1].done:
            lasting = exchanges[0] if not exchanges[0].done else exchanges[1]
            what = f"the {lasting.side.name} still waits for more"
        around = [exact[max(0, index - 3):index + 4] for exact, loose in read]
        for shown, exchange in zip(around, exchanges):
            shown.append(b"(closed)" if exchange.closed else b"(answered the end)" if exchange.done
                         else b"(silence)")
        return what, around

    def _sentinel(self, wire):
        """A request that ends a batch, and how its answer ends."""
        if wire == "text":
            return (b"ms %s~ 0 O!%d\r\n\r\n" % (self.sides[0].prefix, self.nonce),
                    b"HD O!%d\r\n" % self.nonce)
        opaque = 0x80000000 | self.nonce
        return (struct.pack(">BBHBBHIIQ", 0x80, 0x0a, 0, 0, 0, 0, 0, opaque, 0),
                struct.pack(">BBHBBHIIQ", 0x81, 0x0a, 0, 0, 0, 0, 0, opaque, 0))

    def _run(self, exchanges, wire, alone, silence_seconds):
        """Until both have answered the sentinel or closed, or nothing moves any more."""
        by_number = {exchange.socket.fileno(): exchange for exchange in exchanges}
        poll = select.poll()
        for number in by_number:
            if not by_number[number].closed:
                poll.register(number, select.POLLIN)
        last_move = started = time.monotonic()
        nudged = alone is not None or silence_seconds > SILENCE_SECONDS
        while not all(exchange.done for exchange in exchanges):
            moved = False
            for exchange in exchanges:
                moved |= exchange.push()
            sending = any(exchange.pieces for exchange in exchanges)
            for number, event in poll.poll(0 if moved and sending else 5):
                exchange = by_number[number]
                moved |= exchange.pull()
                if exchange.closed:
                    poll.unregister(number)
            for exchange in exchanges:
                exchange.check()
            now = time.monotonic()
            if moved:
                last_move = now
                continue
            quiet = now - last_move
            answered = any(exchange.done for exchange in exchanges)
            if quiet > NUDGE_SECONDS and not nudged and not answered:
                # Both wait: the sentinel became part of a body or of a line. Once more, then.
                nudged = True
                self.nonce += 1
                for exchange in exchanges:
                    sentinel, exchange.awaited = self._sentinel(wire)
                    exchange.pieces.append((b"\r\n" if wire == "text" else b"") + sentinel)
            elif quiet > (PATIENCE_SECONDS if answered else silence_seconds):
                # A server that only came to nothing yet may still take these requests, and those
                # of the next connection before them.
                if now - started > BUSY_SECONDS or not any(
                        exchange.side.is_busy() for exchange in exchanges):
                    return
                last_move = now


def cut(data, rng):
    """Cuts `data` into the pieces of single writes."""
    dice = rng.random()
    if dice < 0.4 or len(data) < 2:
        return [data]
    if dice < 0.8:
        places = {rng.randrange(1, len(data)) for _ in range(rng.choice((1, 2, 5, 10)))}
    else:  # byte by byte for a while
        start = rng.randrange(len(data))
        places = set(range(max(1, start), min(len(data), start + 80)))
    places = [0, *sorted(places), len(data)]
    return [data[one:other] for one, other in zip(places, places[1:])]


class Difference:
    """What differs.

    what      a sentence
    position  how many requests of the stream were played by then
    batch     the requests whose replies differ
    replies   for either side the replies around the first that differs, and how it ended
    """

    def __init__(self, what, position, batch, replies_around):
        self.what = what
        self.is_of_the_clock = what.startswith("seconds ")
        self.position = position
        self.batch = batch
        self.replies = replies_around
