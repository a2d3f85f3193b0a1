#!/usr/bin/python3
"""A day in the life of a small cache: mixed load from many connections, and no reply may be wrong.

    LARDERD=build/release/larderd tests/client/day_in_the_life.py --seconds 600

Every connection speaks one of the three dialects, owns some keys that nobody else writes, and knows
what they hold. A value says in itself whose it is and which write it is (`piece`), so that it shows
when a reply holds another key's value, a part of one, or an older one. The server may forget what
it likes, but must not bring back what is gone: deleted, replaced, expired, flushed, missed before.

  own keys      the owner compares every reply with what it has written, byte for byte
  others' keys  a value must not be older than the last write that was acknowledged to its owner
                before the read was sent, nor one that has not been sent yet
  counters      every answer to incr and decr is known in advance
  shared keys   everybody changes them by cas; each CAS value can win only once

Sizes change with the hour (`SIZES`), so that memory has to move between slab classes; now and then
a client flushes, leaves in the middle of a value or is slow to take its replies. Ends with 1 if a
reply was wrong, a set failed or the server's memory grew beyond its bound.
"""

import argparse
import asyncio
import math
import multiprocessing
import random
import re
import struct
import time
from collections import Counter

import support

KEYS = 40                # of values, per connection
COUNTERS = 2             # per connection
SHARED_KEYS = 16
MOST_PIECES = 6
LARGEST = 500_000
SIZES = (100, 2_000, LARGEST, 20_000, 200, 100_000)  # the largest value of each hour
SHORTEST_HOUR_SECONDS, LONGEST_HOUR_SECONDS = 2, 20
FLUSHES = 8
REPLY_SECONDS = 60       # a server that says nothing for so long is stuck
# The server's clock goes in seconds and may be that far behind.
CLOCK_SECONDS = 1.5
# What the server may take above -m: itself and its threads, the table of keys, and what it keeps
# for connections that are in the middle of a value or do not take their replies.
MEMORY_ABOVE_LIMIT_MIB = 32
# Of the values that are read right after they were stored so many may have been evicted.
LOST_AT_ONCE_SHARE = 0.05

NOISE = random.Random(1).randbytes(2 * LARGEST)
HEAD = re.compile(rb"(\S+) (\d+) (\d+) ")


class Wrong(Exception):
    """A reply that a correct server does not give."""


def fill(serial, size):
    start = serial * 7919 % (len(NOISE) - size)
    return NOISE[start:start + size]


def piece(key, serial, size):
    """The bytes that write number `serial` of `key` stores: a value, or what it appends to one."""
    return b"%s %d %d %s" % (key, serial, size, fill(serial, size))


def pieces_of(key, value):
    """[(serial, size), ...] of a value, in its order."""
    found, at = [], 0
    while at < len(value):
        head = HEAD.match(value, at)
        if not head:
            raise Wrong(f"{key} is torn at byte {at} of {len(value)}: {value[at:at + 40]}")
        if head[1] != key:
            raise Wrong(f"{key} holds a value of {head[1]}")
        serial, size = int(head[2]), int(head[3])
        at = head.end() + size
        if size > LARGEST or value[head.end():at] != fill(serial, size):
            raise Wrong(f"{key} is torn in write {serial}, or after it")
        found.append((serial, size))
    return found


class Ledger:
    """What all processes know of each other, in shared memory.

    issued, acknowledged   by number of the key: the last write sent, and the last that was answered
    flush_sent, flush_done  moments of the last flush_all; while one is under way, `flush_done` is
                            never
    """

    def __init__(self, connections):
        self.issued = multiprocessing.RawArray("Q", connections * KEYS)
        self.acknowledged = multiprocessing.RawArray("Q", connections * KEYS)
        self.flush = multiprocessing.RawArray("d", [0.0, math.inf])

    def flushed(self, since, now):
        """Whether what was stored at `since` must have been flushed for a request sent at `now`."""
        sent, done = self.flush[0], self.flush[1]
        return since < sent and done < now


# -- Dialects. What a store may answer:

STORED, REFUSED, EXISTS, MISSING = "stored", "refused", "exists", "missing"


class Wire:
    """One connection. Every call sends a request and waits for its answer."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, *parts):
        self.writer.writelines(parts)
        await self.writer.drain()

    async def line(self):
        return (await self.reader.readuntil(b"\r\n"))[:-2]

    async def answer(self, meaning):
        """The meaning of a one-line answer; any that has none is wrong."""
        line = await self.line()
        if line not in meaning:
            raise Wrong(f"answered {line[:100]}")
        return meaning[line]

    async def flush(self):
        await self.send(b"flush_all\r\n")
        await self.answer({b"OK": True})


class Classic(Wire):
    ANSWERS = {b"STORED": STORED, b"NOT_STORED": REFUSED, b"EXISTS": EXISTS, b"NOT_FOUND": MISSING}

    @staticmethod
    def store_head(verb, key, size, flags, ttl, cas=None):
        token = b"" if cas is None else b" %d" % cas
        return b"%s %s %d %d %d%s\r\n" % (verb if cas is None else b"cas", key, flags, ttl, size,
                                          token)

    async def store(self, verb, key, value, flags, ttl, cas=None):
        await self.send(self.store_head(verb, key, len(value), flags, ttl, cas), value, b"\r\n")
        return await self.answer(self.ANSWERS)

    async def ask(self, keys):
        await self.send(b"gets ", b" ".join(keys), b"\r\n")

    async def take(self):
        """{key: (value, flags, cas)} of what `ask` has asked for."""
        found = {}
        while (line := await self.line()) != b"END":
            word, key, flags, size, cas = line.split(b" ")
            if word != b"VALUE":
                raise Wrong(f"answered {line[:100]}")
            body = await self.reader.readexactly(int(size) + 2)
            found[key] = (body[:-2], int(flags), int(cas))
        return found

    async def count(self, key, up, delta):
        await self.send(b"%s %s %d\r\n" % (b"incr" if up else b"decr", key, delta))
        line = await self.line()
        if line == b"NOT_FOUND":
            return None
        if not line.isdigit():
            raise Wrong(f"answered {line[:100]}")
        return int(line)

    async def touch(self, key, ttl):
        await self.send(b"touch %s %d\r\n" % (key, ttl))
        return await self.answer({b"TOUCHED": True, b"NOT_FOUND": False})

    async def remove(self, key):
        await self.send(b"delete %s\r\n" % key)
        return await self.answer({b"DELETED": True, b"NOT_FOUND": False})


class Meta(Wire):
    ANSWERS = {b"HD": STORED, b"NS": REFUSED, b"EX": EXISTS, b"NF": MISSING}
    MODES = {b"set": b"S", b"add": b"E", b"replace": b"R", b"append": b"A", b"prepend": b"P"}

    @classmethod
    def store_head(cls, verb, key, size, flags, ttl, cas=None):
        token = b"" if cas is None else b" C%d" % cas
        return b"ms %s %d M%s F%d T%d%s\r\n" % (key, size, cls.MODES[verb], flags, ttl, token)

    async def store(self, verb, key, value, flags, ttl, cas=None):
        await self.send(self.store_head(verb, key, len(value), flags, ttl, cas), value, b"\r\n")
        return await self.answer(self.ANSWERS)

    async def ask(self, keys):
        await self.send(*(b"mg %s k f c v\r\n" % key for key in keys), b"mn\r\n")

    async def take(self):
        found = {}
        while (line := await self.line()) != b"MN":
            words = line.split(b" ")
            if words[0] == b"EN":
                continue
            if words[0] != b"VA":
                raise Wrong(f"answered {line[:100]}")
            body = await self.reader.readexactly(int(words[1]) + 2)
            found[words[2][1:]] = (body[:-2], int(words[3][1:]), int(words[4][1:]))
        return found

    async def count(self, key, up, delta):
        await self.send(b"ma %s v D%d M%s\r\n" % (key, delta, b"I" if up else b"D"))
        line = await self.line()
        if line == b"NF":
            return None
        if not line.startswith(b"VA "):
            raise Wrong(f"answered {line[:100]}")
        return int(await self.line())

    async def touch(self, key, ttl):
        await self.send(b"mg %s T%d\r\n" % (key, ttl))
        return await self.answer({b"HD": True, b"EN": False})

    async def remove(self, key):
        await self.send(b"md %s\r\n" % key)
        return await self.answer({b"HD": True, b"NF": False})

    async def invalidate(self, key, ttl):
        """Marks a value as stale. Whether it was there, and what the next two readers are told."""
        await self.send(b"md %s I T%d\r\n" % (key, ttl), b"mg %s\r\n" % key, b"mg %s\r\n" % key)
        was_there = await self.answer({b"HD": True, b"NF": False})
        return was_there, await self.line(), await self.line()


class Binary(Wire):
    OPCODES = {b"set": 0x01, b"add": 0x02, b"replace": 0x03, b"append": 0x0e, b"prepend": 0x0f}
    NOOP = struct.pack(">BBHBBHIIQ", 0x80, 0x0a, 0, 0, 0, 0, 0, 0, 0)

    @staticmethod
    def head(opcode, key=b"", extras=b"", value_bytes=0, cas=0):
        return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                           len(key) + len(extras) + value_bytes, 0, cas) + extras + key

    @classmethod
    def store_head(cls, verb, key, size, flags, ttl, cas=None):
        extras = b"" if verb in (b"append", b"prepend") else struct.pack(">II", flags, ttl)
        return cls.head(cls.OPCODES[verb], key, extras, size, cas or 0)

    async def reply(self, *statuses):
        """(opcode, status, cas, extras, key, value) of the next reply; other statuses are wrong."""
        header = await self.reader.readexactly(24)
        magic, opcode, key_bytes, extra_bytes, _, status, body_bytes, _, cas = struct.unpack(
            ">BBHBBHIIQ", header)
        body = await self.reader.readexactly(body_bytes)
        if magic != 0x81 or status not in statuses:
            raise Wrong(f"opcode {opcode:#x} answered with status {status:#x} {body[:60]}")
        extras, rest = body[:extra_bytes], body[extra_bytes:]
        return opcode, status, cas, extras, rest[:key_bytes], rest[key_bytes:]

    async def store(self, verb, key, value, flags, ttl, cas=None):
        await self.send(self.store_head(verb, key, len(value), flags, ttl, cas), value)
        _, status, *_ = await self.reply(0x00, 0x01, 0x02, 0x05)
        if status == 0x02 and cas is None:
            return REFUSED  # an add where something is
        return {0x00: STORED, 0x01: MISSING, 0x02: EXISTS, 0x05: REFUSED}[status]

    async def ask(self, keys):
        await self.send(*(self.head(0x0d, key) for key in keys), self.NOOP)

    async def take(self):
        found = {}
        while True:
            opcode, _, cas, extras, key, value = await self.reply(0x00)
            if opcode == 0x0a:
                return found
            found[key] = (value, int.from_bytes(extras, "big"), cas)

    async def count(self, key, up, delta):
        extras = struct.pack(">QQI", delta, 0, 0xffffffff)
        await self.send(self.head(0x05 if up else 0x06, key, extras))
        _, status, *_, value = await self.reply(0x00, 0x01)
        return None if status else int.from_bytes(value, "big")

    async def touch(self, key, ttl):
        await self.send(self.head(0x1c, key, struct.pack(">I", ttl)))
        return (await self.reply(0x00, 0x01))[1] == 0

    async def remove(self, key):
        await self.send(self.head(0x04, key))
        return (await self.reply(0x00, 0x01))[1] == 0

    async def flush(self):
        await self.send(self.head(0x08))
        await self.reply(0x00)


# -- Clients.


class Held:
    """What a key holds, as its owner knows it. `content` is a list of pieces, or a number."""

    __slots__ = ("content", "flags", "since", "until")

    def __init__(self, content, flags, ttl):
        self.content = content
        self.flags = flags
        self.since = time.monotonic()
        self.live_for(ttl)

    def live_for(self, ttl):
        self.until = time.monotonic() + ttl + CLOCK_SECONDS if ttl else math.inf


class Client:
    """One connection after the other, and the keys it owns."""

    def __init__(self, number, place, ledger, hours, seed):
        self.number = number
        self.place = place
        self.ledger = ledger
        self.hours = hours
        self.rng = random.Random(seed)
        self.dialect = (Classic, Meta, Binary)[number % 3]
        self.keys = [self.key_of(number, n) for n in range(KEYS)]
        self.held = dict.fromkeys(self.keys)
        self.held |= {b"n%d-%d" % (number, n): None for n in range(COUNTERS)}
        self.wire = None
        self.done = Counter()
        self.cas_won = []  # (shared key, CAS value)

    @staticmethod
    def key_of(client, n):
        return b"k%d-%d" % (client, n)

    def number_of(self, key):
        client, n = key[1:].split(b"-")
        return int(client) * KEYS + int(n)

    async def live(self, until):
        """Works until then; returns what was wrong, or None."""
        try:
            await self.connect()
            while time.monotonic() < until:
                act, = self.rng.choices(self.ACTS, self.WEIGHTS)
                self.done[act.__name__] += 1
                await asyncio.wait_for(act(self), REPLY_SECONDS)
            self.leave()
        except (Wrong, OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.leave()
            return f"{self.dialect.__name__} {self.number}, {act.__name__}: {error!r}"
        return None

    async def connect(self):
        self.wire = self.dialect(*await asyncio.open_connection(*self.place))

    def leave(self):
        if self.wire:
            self.wire.writer.transport.abort()

    # What is known of a key.

    def next_serial(self, key):
        index = self.number_of(key)
        self.ledger.issued[index] += 1
        return self.ledger.issued[index]

    def is_stored(self, key, held):
        self.held[key] = held
        if key in self.keys:
            index = self.number_of(key)
            self.ledger.acknowledged[index] = self.ledger.issued[index]

    def is_gone(self, key):
        """Nothing that was written so far may be seen again."""
        if key in self.keys:
            self.next_serial(key)
        self.is_stored(key, None)

    def check_alive(self, key, sent):
        """`key` was found by a request sent at that moment: might it?"""
        held = self.held[key]
        if held is None:
            raise Wrong(f"{key} came back")
        if held.until < sent:
            late = sent - held.until + CLOCK_SECONDS
            raise Wrong(f"{key} is alive {late:.1f} s after its expiry")
        if self.ledger.flushed(held.since, sent):
            raise Wrong(f"{key} has survived a flush")

    def check_own(self, key, reply, sent):
        self.done["hits" if reply else "misses"] += 1
        if reply is None:
            return self.is_gone(key)
        value, flags, _ = reply
        self.check_alive(key, sent)
        held = self.held[key]
        pieces = pieces_of(key, value)
        if pieces != held.content:
            raise Wrong(f"{key} holds writes {pieces} instead of {held.content}")
        if flags != held.flags:
            raise Wrong(f"{key} has flags {flags} instead of {held.flags}")

    def check_foreign(self, key, reply, acknowledged):
        if reply is None:
            return
        newest = max(serial for serial, _ in pieces_of(key, reply[0]))
        if newest < acknowledged:
            raise Wrong(f"{key} holds write {newest}, but {acknowledged} was acknowledged before")
        if newest > self.ledger.issued[self.number_of(key)]:
            raise Wrong(f"{key} holds write {newest}, which nobody has sent")

    # What a client does.

    def size(self):
        largest = self.hours.largest_value()
        return int(10 ** self.rng.uniform(0, math.log10(largest)))

    def ttl(self):
        return self.rng.choice((0, 0, 0, 0, 1, 2, 3, 1000))

    async def get(self, keys):
        await self.wire.ask(keys)
        return await self.wire.take()

    async def read_own(self):
        await self.read_mine([self.rng.choice(self.keys)])

    async def read_mine(self, keys):
        sent = time.monotonic()
        found = await self.get(keys)
        for key in keys:
            self.check_own(key, found.get(key), sent)

    async def read_many(self, pause=0.0):
        others = self.foreign_keys(self.rng.choice((0, 5, 20)))
        mine = self.rng.sample(self.keys, self.rng.choice((1, 3, 20)))
        acknowledged = {key: self.ledger.acknowledged[self.number_of(key)] for key in others}
        sent = time.monotonic()
        await self.wire.ask([*others, *mine])
        await asyncio.sleep(pause)
        found = await self.wire.take()
        if not found.keys() <= {*others, *mine}:
            raise Wrong(f"nobody has asked for {list(found.keys() - {*others, *mine})[:3]}")
        for key in mine:
            self.check_own(key, found.get(key), sent)
        for key in others:
            self.check_foreign(key, found.get(key), acknowledged[key])

    def foreign_keys(self, count):
        clients = len(self.ledger.issued) // KEYS
        keys = {self.key_of(self.rng.randrange(clients), self.rng.randrange(KEYS))
                for _ in range(count)}
        return [key for key in keys if key not in self.held]

    async def read_slowly(self):
        await self.read_many(pause=0.5)

    async def set(self):
        key, ttl = self.rng.choice(self.keys), self.ttl()
        await self.write(b"set", key, ttl)
        if self.rng.random() < 0.2:
            await self.read_mine([key])
            self.done["read at once"] += 1
            self.done["lost at once"] += self.held[key] is None

    async def write(self, verb, key, ttl, cas=None):
        """A store that leaves one piece; returns the answer."""
        serial, size = self.next_serial(key), self.size()
        flags = serial & 0xffff
        answer = await self.wire.store(verb, key, piece(key, serial, size), flags, ttl, cas)
        if answer == STORED:
            self.is_stored(key, Held([(serial, size)], flags, ttl))
        elif verb == b"set" and cas is None:
            raise Wrong(f"a set was answered with {answer}")
        return answer

    async def add(self):
        key, sent = self.rng.choice(self.keys), time.monotonic()
        if await self.write(b"add", key, self.ttl()) != STORED:
            self.check_alive(key, sent)

    async def replace(self):
        key = self.rng.choice(self.keys)
        before, sent = self.held[key], time.monotonic()
        if await self.write(b"replace", key, self.ttl()) != STORED:
            return self.is_gone(key)
        self.check_replaced(key, before, sent)

    def check_replaced(self, key, before, sent):
        """A store that needs a value has found one at `sent`: was it the one `before`?"""
        after, self.held[key] = self.held[key], before
        self.check_alive(key, sent)
        self.held[key] = after

    async def extend(self):
        """Append or prepend."""
        key, sent = self.rng.choice(self.keys), time.monotonic()
        held = self.held[key]
        if held and (len(held.content) >= MOST_PIECES
                     or sum(size for _, size in held.content) > LARGEST // 2):
            return
        serial, size = self.next_serial(key), min(self.size(), LARGEST // 4)
        verb = self.rng.choice((b"append", b"prepend"))
        if await self.wire.store(verb, key, piece(key, serial, size), 0, 0) != STORED:
            return self.is_gone(key)
        self.check_alive(key, sent)
        held.content = [(serial, size), *held.content] if verb == b"prepend" else [
            *held.content, (serial, size)]
        held.since = time.monotonic()
        self.is_stored(key, held)

    async def compare_and_set(self):
        key, sent = self.rng.choice(self.keys), time.monotonic()
        reply = (await self.get([key])).get(key)
        self.check_own(key, reply, sent)
        if reply is None:
            return
        before, cas, sent = self.held[key], reply[2], time.monotonic()
        if self.rng.random() < 0.3:
            answer = await self.write(b"set", key, 0, cas + 2**40)
            if answer == STORED:
                raise Wrong(f"{key} was changed with a CAS value that it never had")
        else:
            answer = await self.write(b"set", key, self.ttl(), cas)
            if answer == EXISTS:
                raise Wrong(f"somebody else has changed {key}")
            if answer == STORED:
                self.check_replaced(key, before, sent)
        if answer == MISSING:
            self.is_gone(key)

    async def compete(self):
        """Changes a key that everybody changes."""
        key = b"shared-%d" % self.rng.randrange(SHARED_KEYS)
        value = piece(key, self.rng.randrange(2**31), self.rng.randrange(200))
        reply = (await self.get([key])).get(key)
        if reply is None:
            return await self.wire.store(b"add", key, value, 0, 0)
        pieces_of(key, reply[0])
        if await self.wire.store(b"set", key, value, 0, 0, reply[2]) == STORED:
            self.cas_won.append((key, reply[2]))

    async def count(self):
        key, sent = b"n%d-%d" % (self.number, self.rng.randrange(COUNTERS)), time.monotonic()
        held = self.held[key]
        if held is None:
            number, ttl = self.rng.getrandbits(self.rng.choice((4, 32, 64))), self.ttl()
            if await self.wire.store(b"set", key, b"%d" % number, 0, ttl) != STORED:
                raise Wrong("a set failed")
            return self.is_stored(key, Held(number, 0, ttl))
        up, delta = self.rng.random() < 0.6, self.rng.getrandbits(self.rng.choice((2, 20, 63)))
        number = await self.wire.count(key, up, delta)
        if number is None:
            return self.is_gone(key)
        self.check_alive(key, sent)
        wanted = (held.content + delta) % 2**64 if up else max(0, held.content - delta)
        if number != wanted:
            raise Wrong(f"{held.content} {'+' if up else '-'} {delta} is {number}")
        held.content, held.since = number, time.monotonic()

    async def touch(self):
        key, ttl, sent = self.rng.choice(self.keys), self.ttl(), time.monotonic()
        if not await self.wire.touch(key, ttl):
            return self.is_gone(key)
        self.check_alive(key, sent)
        self.held[key].live_for(ttl)

    async def remove(self):
        key, sent = self.rng.choice(self.keys), time.monotonic()
        if await self.wire.remove(key):
            self.check_alive(key, sent)
        self.is_gone(key)

    async def make_stale(self):
        """A stale value is still there; the first reader is asked to renew it, the others wait."""
        if self.dialect is not Meta:
            return
        key, sent = self.rng.choice(self.keys), time.monotonic()
        was_there, first, second = await self.wire.invalidate(key, 1000)
        if was_there:
            self.check_alive(key, sent)
            told = [sorted(line.split(b" ")) for line in (first, second)]
            if told not in ([[b"HD", b"W", b"X"], [b"HD", b"X", b"Z"]], [[b"EN"], [b"EN"]],
                            [[b"HD", b"W", b"X"], [b"EN"]]):
                raise Wrong(f"readers of a stale value were told {first} and {second}")
        await self.write(b"set", key, self.ttl())

    async def leave_in_the_middle(self):
        """Half a value, and the connection is gone: the key keeps what it has."""
        key = self.rng.choice(self.keys)
        value = piece(key, self.next_serial(key), self.size())
        head = self.wire.store_head(b"set", key, len(value), 0, 0)
        await self.wire.send(head, value[:len(value) // 2])
        if self.rng.random() < 0.5:
            await asyncio.sleep(0.01)
        self.leave()
        await self.connect()
        await self.read_mine([key])

    async def flush(self):
        sent = time.monotonic()
        await self.wire.flush()
        done = time.monotonic()
        self.ledger.flush[1] = math.inf
        self.ledger.flush[0] = sent
        self.ledger.flush[1] = done
        self.done["flushes"] += 1

    ACTS = (read_own, read_many, set, extend, compare_and_set, compete, count, touch, remove, add,
            replace, make_stale, leave_in_the_middle, read_slowly)
    WEIGHTS = (250, 150, 250, 60, 40, 30, 80, 30, 25, 20, 20, 15, 3, 2)


class Hours:
    """What time of the day it is."""

    def __init__(self, begin, seconds):
        self.begin = begin
        self.hour_seconds = min(LONGEST_HOUR_SECONDS,
                                max(SHORTEST_HOUR_SECONDS, seconds / len(SIZES)))

    def largest_value(self):
        hour = int((time.monotonic() - self.begin) / self.hour_seconds)
        return SIZES[hour % len(SIZES)]


async def flush_now_and_then(client, until, pause):
    """Returns what was wrong, or None."""
    await client.connect()
    try:
        while time.monotonic() + pause < until:
            await asyncio.sleep(pause)
            await asyncio.wait_for(client.flush(), REPLY_SECONDS)
    except (Wrong, OSError, EOFError, asyncio.TimeoutError) as error:
        return f"flush: {error!r}"
    finally:
        client.leave()


async def live_together(numbers, place, ledger, options, begin):
    hours = Hours(begin, options.seconds)
    until = begin + options.seconds
    clients = [Client(number, place, ledger, hours, f"{options.seed}/{number}")
               for number in numbers]
    lives = [client.live(until) for client in clients]
    if 0 in numbers:  # of one process one more connection
        flusher = Client(0, place, ledger, hours, f"{options.seed}/flush")
        clients.append(flusher)
        lives.append(flush_now_and_then(flusher, until, options.seconds / (FLUSHES + 1)))
    wrong = [sentence for sentence in await asyncio.gather(*lives) if sentence]
    return (wrong, sum((client.done for client in clients), Counter()),
            [won for client in clients for won in client.cas_won])


def run_process(numbers, place, ledger, options, begin, results):
    try:
        results.send(asyncio.run(live_together(numbers, place, ledger, options, begin)))
    except BaseException as error:
        results.send(([f"a process of the test ended with {error!r}"], Counter(), []))
        raise


def peak_rss_mib(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) / 1024


def live_a_day(server, options):
    """(what was wrong, what was done, the shared keys' CAS values that have won)."""
    ledger = Ledger(options.connections)
    begin = time.monotonic()
    processes, pipes = [], []
    for first in range(options.processes):
        numbers = range(first, options.connections, options.processes)
        results, end = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(
            target=run_process, daemon=True,
            args=(numbers, ("127.0.0.1", server.port), ledger, options, begin, end))
        process.start()
        end.close()
        processes.append(process)
        pipes.append(results)
    wrong, done, won = [], Counter(), []
    deadline = begin + options.seconds + 2 * REPLY_SECONDS
    for process, results in zip(processes, pipes):
        if not results.poll(max(0, deadline - time.monotonic())):
            wrong.append("a process of the test does not come to an end")
            process.terminate()
            continue
        try:
            part = results.recv()
        except EOFError:
            part = (["a process of the test has died"], Counter(), [])
        wrong += part[0]
        done += part[1]
        won += part[2]
    for process in processes:
        process.join(REPLY_SECONDS)
    return wrong, done, won


def judge(server, options, wrong, done, won):
    """Adds to `wrong` what shows only at the end, and prints the summary."""
    twice = [won_by for won_by, times in Counter(won).items() if times > 1]
    wrong += [f"{key} was changed twice with CAS value {cas}" for key, cas in twice]
    lost, read = done["lost at once"], done["read at once"]
    if lost > max(20, LOST_AT_ONCE_SHARE * read):
        wrong.append(f"{lost} of {read} values were gone right after they were stored")
    for needed in ("hits", "misses", "flushes"):
        if not done[needed]:
            wrong.append(f"there were no {needed}: this was no day")
    if not won:
        wrong.append("nobody has won a shared key")
    bound = options.memory + MEMORY_ABOVE_LIMIT_MIB
    peak = peak_rss_mib(server) if server.running() else math.inf
    if not server.running():
        wrong.append("the server has died:\n" + server.output())
    elif peak > bound:
        wrong.append(f"the server took {peak:.1f} MiB, which is more than {bound}")

    acts = {act.__name__: done[act.__name__] for act in Client.ACTS}
    print(f"{sum(acts.values())} acts of {options.connections} connections in "
          f"{options.seconds:.0f} s (seed {options.seed}): "
          + ", ".join(f"{name} {times}" for name, times in acts.items()))
    print(f"{done['hits']} hits and {done['misses']} misses on own keys, {len(won)} shared keys "
          f"won, {done['flushes']} flushes, {lost} of {read} gone right after they were stored")
    if server.running():
        print(", ".join(f"{name} {server.stat(name)}" for name in (
            "evictions", "curr_items", "total_items", "bytes", "total_connections")))
    print(f"peak RSS {peak:.1f} MiB of {bound} ({options.memory} for values, "
          f"{MEMORY_ABOVE_LIMIT_MIB} for the rest)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--memory", type=int, default=64, metavar="MIB", help="the server's -m")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    return parser.parse_args()


def main():
    options = arguments()
    with support.Server("-m", options.memory) as server:
        wrong, done, won = live_a_day(server, options)
        judge(server, options, wrong, done, won)
    for sentence in wrong[:20]:
        print("WRONG:", sentence)
    if len(wrong) > 20:
        print(f"and {len(wrong) - 20} more")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
