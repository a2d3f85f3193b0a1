"""Seeded random streams of requests: classic, meta and binary, valid and malformed.

A stream is a flat list of `Request`s, so that it can be shortened by leaving some out. A request
is made of parts that are filled in only when it is played, because keys carry a prefix that is new
for every play and CAS values differ from server to server:

    bytes           sent as they are
    Key(name)       the prefix of the play and `name`
    Key64(name)     the same in base64
    CasOf(name, ..) a CAS value that this server has answered for that key
    Clock(offset)   the unix time of the play, plus an offset
"""

import base64
import random
import struct
from collections import namedtuple

PREFIX_BYTES = 5
LONGEST_KEY_BYTES = 250

Key = namedtuple("Key", "name")
Key64 = namedtuple("Key64", "name")
Clock = namedtuple("Clock", "offset")

# which   "now" what the server answered last; "old" an earlier answer; "next" above and "before"
#         below the last answer
# binary  as eight bytes instead of digits
CasOf = namedtuple("CasOf", "name which binary")

# CAS values that clients choose. Those that servers choose lie between (see play.py), so that
# "lower" and "higher" mean the same on both sides.
SMALL_CAS = (7, 77, 777)
LARGE_CAS = (2**62 + 5, 2**63, 2**64 - 2)
FIRST_NATURAL_CAS = 1000
LAST_NATURAL_CAS = 2**62

# memcached closes the connection when it holds more than this and no line end, unless it is a get.
# Whether it sees the line end in time depends on how the bytes arrive, so that no line is longer,
# nor a body that is taken for a line because its own line was malformed.
LINE_BYTES = 2048

# The limit of an item differs by a header's size from server to server, so no value is near it.
ITEM_LIMIT_BYTES = 1024 * 1024
AROUND_THE_LIMIT_BYTES = 4096


class Request:
    """One request, or a pause.

    parts     see above
    wire      "text" or "binary": the connection it goes to
    settles   the replies to everything before it must have come: it quotes a CAS value
    unsettles nothing comes behind it before its own reply: memcached may give the next store of the
              connection a CAS value that is too low (known.py)
    key       the name of its key, None if it has none
    opaque    what the reply repeats, so that it can be matched with `key`
    alone     "close": the server is expected to close; "cut": only a part of a request, after
              which the client stops writing. Both end the connection.
    seconds   a pause of that many seconds and nothing else
    kind      "read" if the reply shows the values of its keys, "count" for incr, decr and ma, else
              None
    """

    __slots__ = ("parts", "wire", "settles", "unsettles", "key", "opaque", "alone", "seconds", "kind")

    def __init__(self, parts=(), wire="text", key=None, opaque=None, alone=None, seconds=0,
                 kind=None):
        self.parts = parts
        self.wire = wire
        self.key = key
        self.opaque = opaque
        self.alone = alone
        self.seconds = seconds
        self.kind = kind
        self.settles = any(type(part) is CasOf for part in parts)
        self.unsettles = False

    def names(self):
        """The keys in it."""
        return {part.name for part in self.parts if type(part) in (Key, Key64)}

    def render(self, side):
        """The bytes for one side; `side` has `prefix`, `now` and `cas_of(name, which)`."""
        out = []
        for part in self.parts:
            kind = type(part)
            if kind is bytes:
                out.append(part)
            elif kind is Key:
                out.append(side.prefix + part.name)
            elif kind is Key64:
                out.append(base64.b64encode(side.prefix + part.name))
            elif kind is CasOf:
                value = side.cas_of(part.name, part.which)
                out.append(struct.pack(">Q", value) if part.binary else b"%d" % value)
            else:
                out.append(b"%d" % (side.now + part.offset))
        return b"".join(out)


class Stream:
    """What one seed makes: requests, and the seed of the cuts into writes."""

    def __init__(self, seed, dialect, requests, cut_seed):
        self.seed = seed
        self.dialect = dialect
        self.requests = requests
        self.cut_seed = cut_seed


DIALECTS = ("classic", "meta", "binary", "mixed", "watched", "expiry")
# How often each is drawn when all are asked for. "mixed" plays all three on the same keys;
# "watched" does so before the eyes of a watcher, and dumps the cache at the end; "expiry" with short
# times to live and a pause, and comes at its own pace (run.py).
WEIGHTS = (3, 5, 4, 4, 1)


class Generator:
    """Makes the stream of a seed.

    avoid  names of what is not to be generated against this reference (known.py)
    """

    def __init__(self, avoid):
        self.avoid = avoid
        # A few large increments must not lead beyond the limit either.
        self.largest = 2**56 - 1 if "counters beyond 63 bits" in avoid else 2**64 - 1
        pool = random.Random(1)
        self.noise = pool.randbytes(4 * ITEM_LIMIT_BYTES)

    def stream(self, seed, dialect):
        rng = random.Random(f"{seed}/{dialect}")
        self.rng = rng
        self.opaque = 0
        self.cutting = False  # is this the request of which only a part is sent?
        self.short_lives = dialect == "expiry"
        self.watched = dialect == "watched"
        self.flush_seconds = [3, 0] if self.short_lives else [1000]  # delays still to be used
        # Malformed requests in this stream?
        self.rough = rng.random() < 0.6 and "malformed requests" not in self.avoid
        length = rng.randint(50, 300)
        makers = {"classic": (self.classic,), "meta": (self.meta,), "binary": (self.binary,)}.get(
            dialect, (self.classic, self.meta, self.binary))
        requests = []
        while len(requests) < length:
            # Runs of one dialect, so that pipelines get long although the connection changes.
            maker = rng.choice(makers)
            for _ in range(rng.choice((1, 3, 10, 40))):
                requests.append(maker())
        if self.short_lives:
            requests.insert(len(requests) // 2, Request(seconds=3.2))
        elif rng.random() < 0.15:
            self.cutting = True
            requests.append(self.cut(rng.choice(makers)()))
        return Stream(seed, dialect, requests, rng.getrandbits(32))

    # Ingredients.

    NAMES = (b"a", b"b", b"c", b"d", b"e", b"f", b"n1", b"n2", b"n3", b"n4")
    ODD_NAMES = (
        b"x" * (LONGEST_KEY_BYTES - PREFIX_BYTES), b"y" * (LONGEST_KEY_BYTES - PREFIX_BYTES - 1),
        b"\xc3\xa4", b"\x80\xff", b"=", b"-1", b"noreply")
    TOO_LONG = b"z" * (LONGEST_KEY_BYTES - PREFIX_BYTES + 1)
    # Only base64 and the binary protocol can say these. Of the last two binary alone is asked the
    # one, base64 alone the other, and nothing that makes memcached forget that it was base64
    # (known.py): it then puts the key into meta replies as it is.
    RAW_NAMES = (b"\0", b"\t", b"a\tb", b"\0\1\2\3")
    LINE_NAMES = (b"\r\n", b"k\n")
    BLANK_NAMES = (b" ", b"a b")

    def name(self):
        rng = self.rng
        if rng.random() < 0.94:
            return rng.choice(self.NAMES)
        return rng.choice(self.ODD_NAMES)

    def choose(self, usual, odd, odd_share=0.05):
        """One of `usual`; in a rough stream now and then one of `odd`."""
        rng = self.rng
        if self.rough and rng.random() < odd_share:
            return rng.choice(odd)
        return rng.choice(usual)

    def value(self, name=b"", joins=False):
        """A value to be stored under `name`, or (`joins`) joined to what is there."""
        rng = self.rng
        counter = name[:1] == b"n"
        if joins and counter and "counters beyond 63 bits" in self.avoid:
            return b"x"  # a digit may make it one
        dice = rng.random()
        if counter and dice < 0.8:
            return rng.choice((b"0", b"1", b"9", b"10", b"99", b"100", b"12345", b"5 ", b"10   ",
                               b"%d" % self.largest, b"%d" % (self.largest - 1)))
        if dice < 0.15:
            return b"%d" % (rng.getrandbits(rng.choice((3, 10, 32, 64))) & self.largest)
        if dice < 0.18:
            return rng.choice((b"18446744073709551616", b" 5", b"5 6", b"-1", b"+1", b"1e3", b"0x5",
                               b"00012", b"99999999999999999999999", b"12a"))
        if dice < 0.25:
            return b""
        if dice < 0.75:
            return rng.choice((b"hello", b"x", b"two\r\nlines", b"END\r\n",
                               b"value of some length"))
        if dice < 0.995:
            size = rng.choice((1, 5, 30, 100, 200, 500, 1000, 2000, 3000, 8000))
            size = rng.randrange(size)
        elif dice < 0.9992:
            size = rng.randrange(60000)
        else:
            size = rng.choice((100_000, 500_000, 600_000, ITEM_LIMIT_BYTES - AROUND_THE_LIMIT_BYTES,
                               ITEM_LIMIT_BYTES + AROUND_THE_LIMIT_BYTES, 2 * ITEM_LIMIT_BYTES))
        if self.rough:
            size = min(size, LINE_BYTES // 2)
        if self.watched:
            size = min(size, ITEM_LIMIT_BYTES // 2)  # known.py
        start = rng.randrange(len(self.noise) - size)
        value = self.noise[start:start + size]
        return b"x" if value.isspace() else value  # known.py

    def exptime(self):
        """A part: the exptime of a request."""
        rng = self.rng
        if self.short_lives and rng.random() < 0.4:
            return b"2"
        dice = rng.random()
        if dice < 0.02:
            return Clock(500)
        if dice < 0.03:
            return Clock(-500)
        return self.choose(
            (b"0", b"0", b"0", b"0", b"0", b"100", b"1000", b"2592000", b"2592001", b"-1"),
            (b"abc", b"-2", b"4294967296", b"2147483647", b"2147483648", b"-2147483648",
             b"-2147483649", b"1e3", b"+5", b"0x10", b"5x", b"99999999999999999999", b"1.5"))

    def client_flags(self):
        return self.choose(
            (b"0", b"0", b"0", b"1", b"42", b"65536", b"4294967295"),
            (b"4294967296", b"-1", b"abc", b"+7", b"0x7", b"99999999999999999999", b"1.5"))

    def number(self):
        return self.choose(
            (b"0", b"1", b"1", b"5", b"10", b"1000000", b"%d" % self.largest),
            (b"-1", b"abc", b"18446744073709551616", b"+1", b"1e3", b"1.5", b"0x1", b"007"))

    def cas(self, name):
        """A part: the CAS value that a request quotes."""
        rng = self.rng
        dice = rng.random()
        if dice < 0.7:
            which = rng.choice(("now", "now", "now", "now", "old", "next", "before"))
            return CasOf(name, which, False)
        if dice < 0.9:
            return b"%d" % rng.choice(SMALL_CAS + LARGE_CAS)
        return self.choose((b"0", b"18446744073709551615"),
                           (b"abc", b"-1", b"18446744073709551616", b"1x"), 0.3)

    def next_opaque(self):
        self.opaque += 1
        return self.opaque

    def pieces(self, *parts):
        """Parts with neighbouring bytes joined."""
        joined = []
        for part in parts:
            if joined and type(part) is bytes and type(joined[-1]) is bytes:
                joined[-1] += part
            else:
                joined.append(part)
        return tuple(joined)

    def line(self, words, body=None, key=None, opaque=None):
        """A request of words with blanks between and, for a store, its body.

        In a rough stream now and then something is wrong with it."""
        rng = self.rng
        words = list(words)
        blank, end, tail = b" ", b"\r\n", b"\r\n"
        wrong = self.rough and rng.random() < 0.06
        if wrong:
            what = rng.randrange(12)
            if what == 0:
                del words[rng.randrange(len(words))]
            elif what == 1:
                words.insert(rng.randrange(len(words) + 1), rng.choice(words))
            elif what == 2:
                words.insert(rng.randrange(len(words) + 1),
                             rng.choice((b"", b"x", b"0", b"noreply", b"7 8 9", b"\0", b"v")))
            elif what == 3:
                words.append(rng.choice((b"", b"0", b"junk", b"noreply", b"noreply x", b"NOREPLY")))
            elif what == 4 and type(words[0]) is bytes:
                words[0] = rng.choice((words[0].upper(), words[0][:-1], words[0] + b"x",
                                       b" " + words[0], b"", b"\t" + words[0]))
            elif what == 5:
                blank = rng.choice((b"  ", b"\t", b"   "))
            elif what == 6:
                end = rng.choice((b"\n", b" \r\n", b"\r\r\n", b"\t\r\n", b"\0\r\n"))
            elif what == 7 and body is not None:
                tail = rng.choice((b"\n", b"x\r\n", b"", b"\r\n\r\n", b"\rx\n", b"xy", b"xy\r\n"))
            elif what == 8 and body:
                body = body[:rng.randrange(len(body))]
            elif what == 9 and body is not None:
                body += b"more"
            elif what == 10:
                words = words[:rng.randrange(len(words) + 1)]
        if words[:1] == [b"stats"]:
            end = end.lstrip(b"\0")  # known.py
        loses_replies = self.loses_replies(words, blank, end)
        if loses_replies:
            words = [word for word in words if word != b"noreply"]  # known.py
        parts = []
        for word in words:
            if parts:
                parts.append(blank)
            parts.append(word)
        parts.append(end)
        if body is not None:
            parts.append(body)
            parts.append(tail)
        if self.rough and parts[-1][-1:] != b"\n":
            parts.append(b"\n")  # or else what follows would be part of this line
        verb = words[0] if words and type(words[0]) is bytes else b""
        kind = {b"g": "read", b"i": "count"}.get(verb.strip()[:1].lower())
        request = Request(self.pieces(*parts), "text", key, opaque,
                          kind="count" if verb[:2] == b"de" else kind)
        if loses_replies or (body is not None and (wrong or b"" in words)):
            request.settles = True  # known.py
        request.unsettles = body is not None and wrong
        return request

    def loses_replies(self, words, blank, end):
        """Whether memcached throws away the unsent replies to earlier requests at this line: one
        of the get family with an over-long key (known.py)."""
        if not words or type(words[0]) is not bytes or words[0].strip()[:1] != b"g":
            return False
        longer = blank == b"\t" or end not in (b"\n", b"\r\n", b" \r\n")
        return longer or Key(self.TOO_LONG) in words

    def text_key(self, name):
        return self.choose((Key(name),), (Key(self.TOO_LONG), b"", Key(b"\1"), Key(b"\x7f")), 0.03)

    # Classic.

    def classic(self):
        dice = self.rng.random()
        if dice < 0.34:
            return self.classic_get()
        if dice < 0.68:
            return self.classic_store()
        if dice < 0.80:
            return self.classic_arithmetic()
        if dice < 0.88:
            return self.classic_delete()
        if dice < 0.95:
            return self.classic_touch()
        return self.classic_other()

    def noreply(self):
        return (b"noreply",) if self.rng.random() < 0.12 else ()

    def classic_get(self):
        rng = self.rng
        verb = rng.choice((b"get", b"get", b"gets", b"gets", b"gat", b"gats"))
        words = [verb]
        if verb in (b"gat", b"gats"):
            words.append(self.exptime())
        count = rng.choice((1, 1, 1, 1, 2, 3, 5))
        if not self.rough and verb in (b"get", b"gets") and rng.random() < 0.2:
            count = rng.choice((20, 30, 100, 400))  # beyond LINE_BYTES
        words += [self.text_key(self.name()) for _ in range(count)]
        return self.line(words)

    def classic_store(self):
        rng = self.rng
        name = self.name()
        verb = rng.choice((b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend",
                           b"cas", b"cas"))
        body = self.value(name, verb in (b"append", b"prepend"))
        size = b"%d" % len(body)
        if self.rough and rng.random() < 0.02:
            size = rng.choice((b"-1", b"abc", b"", b"0", b"+1", b"1x", b"2147483647x",
                               b"99999999999999999999", b"-2147483648"))
        words = [verb, self.text_key(name), self.client_flags(), self.exptime(), size]
        if verb == b"cas":
            words.append(self.cas(name))
        return self.line([*words, *self.noreply()], body, name)

    def classic_arithmetic(self):
        name = self.rng.choice((b"n1", b"n2", b"n3", b"n4", self.name()))
        return self.line([self.rng.choice((b"incr", b"decr")), self.text_key(name), self.number(),
                          *self.noreply()])

    def classic_delete(self):
        rng = self.rng
        words = [b"delete", self.text_key(self.name())]
        if rng.random() < 0.1 and "delete with a number" not in self.avoid:
            words.append(rng.choice((b"0", b"5", b"x")))
        return self.line([*words, *self.noreply()])

    def classic_touch(self):
        return self.line([b"touch", self.text_key(self.name()), self.exptime(), *self.noreply()])

    OTHER = (
        b"version", b"verbosity 0", b"verbosity 1", b"verbosity 1 noreply", b"mn", b"flush_all",
        b"flush_all 0", b"flush_all noreply", b"flush_all -1", b"flush_all 0 noreply", b"stats",
        b"stats settings", b"stats items", b"stats slabs", b"stats sizes", b"stats conns",
        b"stats reset", b"cache_memlimit 64", b"cache_memlimit 100")
    ROUGH = (
        b"version x", b"verbosity", b"verbosity abc", b"mn x", b"flush_all abc", b"stats nothing",
        b"cache_memlimit 7", b"cache_memlimit", b"cache_memlimit abc",
        b"cache_memlimit 999999999999", b"cache_memlimit 64 noreply", b"shutdown",
        b"shutdown graceful", b"shutdown foo",
        b"", b" ", b"x", b"gett a", b"get", b"gets", b"gat", b"gat 0", b"gats", b"set", b"set a",
        b"incr", b"incr a", b"delete", b"touch", b"touch a", b"GET a", b"Set a 0 0 1", b"\0",
        b"\0\0\0\0", b"mg", b"ms", b"md", b"ma", b"me", b"mx a", b"m", b"g", b"quit x",
        b"misbehave", b"nothing at all", b"stats ", b"  get a", b"\r", b"verbosity 99 99 99 99 99",
        b"get a\rb", b"\x7f\x80 \xff", b"get \t", b"delete a b c d", b"touch a b c d e",
        b"incr a 1 2 3", b"flush_all 1000 2 3 4", b"set a b c d e f g", b"cas a 0 0 1", b"cas",
        b"append", b"add", b"replace a", b"prepend a 0")

    # What operators ask, rightly and wrongly, as far as the answer does not depend on what memory
    # holds or on what the server does by the way. (Watching and dumping: "watched" streams.)
    OPERATOR = (
        b"stats detail on", b"stats detail off", b"stats detail dump", b"stats detail",
        b"stats detail x", b"stats cachedump", b"stats cachedump 1", b"stats cachedump x 0",
        b"stats cachedump 1 x", b"stats cachedump 0 0", b"stats cachedump 300 0", b"stats sizes x",
        b"cache_memlimit -1", b"cache_memlimit 1x", b"verbosity 0 0", b"verbosity -1",
        b"extstore", b"extstore x", b"reload_auth",
        b"lru", b"lru x", b"lru mode", b"lru mode x", b"lru tune", b"lru tune 10",
        b"lru tune 10 25", b"lru tune 10 25 0.1",
        b"lru tune 20 40 0.2 2.0", b"lru tune 10 25 0.1 2.0 x", b"lru tune 60 60 0.1 2.0",
        b"lru tune x y z w", b"lru tune 10 25 0 2.0", b"lru tune 10 25 0.1 -2", b"lru temp_ttl",
        b"lru temp_ttl x",
        b"slabs", b"slabs x", b"slabs reassign", b"slabs reassign 1", b"slabs reassign x y",
        b"slabs reassign 1 1", b"slabs reassign 300 1", b"slabs reassign 1 2 3",
        b"slabs automove", b"slabs automove x", b"slabs automove 0", b"slabs automove 1",
        b"slabs automove 2", b"slabs automove 3", b"slabs automove 1 2",
        b"lru_crawler", b"lru_crawler x", b"lru_crawler crawl", b"lru_crawler sleep",
        b"lru_crawler sleep 100", b"lru_crawler sleep x", b"lru_crawler sleep 2000000",
        b"lru_crawler tocrawl", b"lru_crawler tocrawl x", b"lru_crawler tocrawl 10",
        b"lru_crawler tocrawl 0", b"lru_crawler disable x", b"lru_crawler metadump",
        b"lru_crawler mgdump")

    def classic_other(self):
        rng = self.rng
        if rng.random() < 0.3:
            return Request((rng.choice(self.OPERATOR) + b"\r\n",))
        if self.rough and rng.random() < 0.5:
            if rng.random() < 0.06:
                return self.closing()
            return Request((rng.choice(self.ROUGH) + b"\r\n",))
        other = rng.choice(self.OTHER)
        if rng.random() < 0.2 and "delayed flush" not in self.avoid:
            other = b"flush_all %d" % self.flush_delay() + rng.choice((b"", b" noreply"))
        elif other.startswith(b"flush_all"):
            self.flushed_at_once()
        return self.line(other.split(b" "))

    def flushed_at_once(self):
        """A delayed flush would take this one back (known.py)."""
        if self.short_lives:
            self.flush_seconds = [0]

    def flush_delay(self):
        """Seconds; one that will be over before the stream is comes once (known.py)."""
        seconds, *rest = self.flush_seconds
        self.flush_seconds = rest or self.flush_seconds
        return seconds

    def closing(self):
        """Requests at which the server closes the connection."""
        rng = self.rng
        if rng.random() < 0.3:
            return Request((rng.choice((b"quit\r\n", b"quit noreply\r\n")),), alone="close")
        request = Request((rng.choice((
            b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.0\r\nHost: x\r\n\r\n", b"x" * 3000,
            b"set " + b"k" * 3000)),), alone="close")
        request.settles = True  # memcached would throw away unsent replies (known.py)
        return request

    # Meta.

    def meta(self):
        rng = self.rng
        dice = rng.random()
        if dice < 0.4:
            return self.meta_line(b"mg")
        if dice < 0.7:
            return self.meta_line(b"ms")
        if dice < 0.8:
            return self.meta_line(b"md")
        if dice < 0.93:
            return self.meta_line(b"ma")
        if dice < 0.97 and "me" not in self.avoid:
            return self.meta_line(b"me")
        return self.line([b"mn"])

    # The flags of each verb; a flag with a token is followed by a maker of tokens below.
    META_FLAGS = {
        b"mg": b"bcfhklstuvvvOqENRTC", b"ms": b"bcCEFIIkOqsTMN", b"md": b"bCEIkOqTx",
        b"ma": b"bCEEJDTMNqtcvvkO", b"me": b"b"}

    def meta_line(self, verb):
        rng = self.rng
        name = self.name()
        if verb == b"ma" and rng.random() < 0.8:
            name = rng.choice((b"n1", b"n2", b"n3", b"n4"))
        in_base64 = rng.random() < 0.15
        if in_base64:
            blanks = () if verb == b"ma" else self.BLANK_NAMES
            name = rng.choice(self.RAW_NAMES + blanks + self.NAMES)
            if self.rough and rng.random() < 0.05:
                name = rng.choice(self.ODD_NAMES)  # too long when in base64
        letters = []
        for letter in rng.sample(self.META_FLAGS[verb], min(len(self.META_FLAGS[verb]),
                                                           rng.choice((0, 1, 2, 3, 3, 4, 5, 8)))):
            if letter not in letters and letter != ord("b"):
                letters.append(letter)
        if ord("c") in letters and ord("k") not in letters and rng.random() < 0.7:
            letters.append(ord("k"))
        if ord("I") in letters and verb == b"ms" and ord("C") not in letters:
            letters.append(ord("C"))
        if in_base64:
            letters.insert(rng.randrange(len(letters) + 1), ord("b"))
        if self.rough and rng.random() < 0.03:
            letters.insert(rng.randrange(len(letters) + 1),
                           rng.choice(b"abcdefghijklmnopqrstuvwxyzABDGHJKQSUVWXYZ019!-\\"))
        if verb != b"me" and rng.random() < 0.02:
            letters.append(rng.choice(b"PL"))
        if self.rough and rng.random() < 0.004:
            letters += rng.choices(b"cfhkstuvqPL", k=rng.randrange(15, 40))

        downwards = verb == b"ma" and (ord("T") in letters or ord("E") in letters)  # known.py
        if downwards and ord("M") not in letters:
            letters.append(ord("M"))

        opaque = None
        flags = []
        for letter in letters:
            token = self.meta_token(verb, letter, name)
            if downwards and letter == ord("M"):
                token = rng.choice((b"D", b"d", b"-"))
            feature = f"{verb.decode()} {chr(letter)}"
            if feature in self.avoid or (name in self.BLANK_NAMES and letter in b"NMx"):
                continue
            if feature in ("ms E", "ma E", "ma T") and (self.rough or self.cutting):
                continue  # known.py: such a request must be whole
            if letter == ord("O") and token.isdigit():
                opaque = int(token)
            flags.append(self.pieces(bytes([letter]), token) if token is not None
                         else (bytes([letter]),))
        key = Key64(name) if in_base64 else self.text_key(name)
        if self.rough and in_base64 and rng.random() < 0.1:
            key = rng.choice((b"!!!!", b"QQ", b"QQ=", b"====", b"QUJD\x80", b"A" * 400))
        words = [(verb,), (key,)]
        body = None
        if verb == b"ms":
            body = self.value(name, ord("M") in letters)
            size = b"%d" % len(body)
            if self.rough and rng.random() < 0.02:
                size = rng.choice((b"-1", b"abc", b"S5", b"", b"99999999999", b"+1", b"1x"))
            words.append((size,))
        words += flags
        request = self.meta_request(words, body, name, opaque)
        if verb == b"ms" and ord("O") in letters and opaque is None:
            request.unsettles = True  # refused for its O, perhaps
        return request

    def meta_request(self, words, body, name, opaque):
        """Like `line`, for words that are made of several parts."""
        names = [b"\0word%d\0" % index for index in range(len(words))]
        request = self.line(names, body, name, opaque)
        parts = []
        place = 0
        for part in request.parts:
            while type(part) is bytes and b"\0word" in part:
                before, _, rest = part.partition(b"\0word")
                index, _, part = rest.partition(b"\0")
                parts.append(before)
                digits = index.rstrip(b"xX")
                word = words[int(digits)] if digits.isdigit() else (index,)
                if place == 1 and any(type(piece) is CasOf for piece in word):
                    word = (b"C1",)  # as a key it must be the same for both servers
                parts += word
                place += 1
            parts.append(part)
        kind = {b"mg": "read", b"ma": "count"}.get(words[0][0])
        whole = Request(self.pieces(*parts), "text", name, opaque, kind=kind)
        whole.settles |= request.settles
        whole.unsettles |= request.unsettles
        return whole

    def meta_token(self, verb, letter, name):
        rng = self.rng
        flag = chr(letter)
        if self.rough and rng.random() < 0.01:
            return rng.choice((b"", b"x", b"-", b"99999999999999999999"))
        if flag == "O":
            if self.rough and verb in (b"ms", b"md") and rng.random() < 0.02:
                return rng.choice((b"x" * 31, b"x" * 32, b"x" * 33, b"", b"\x80\xff"))
            return b"%d" % self.next_opaque()
        if flag in "TN":
            return self.exptime()
        if flag == "R":
            return self.choose((b"10", b"50", b"700", b"5000", b"-1", b"0"), (b"abc", b""))
        if flag == "C":
            return self.cas(name)
        if flag == "E":
            return self.choose(tuple(b"%d" % cas for cas in SMALL_CAS + LARGE_CAS),
                               (b"0", b"abc", b"-1", b"18446744073709551616"))
        if flag == "F":
            return self.client_flags()
        if flag in "JD":
            return self.number()
        if flag == "M":
            if verb == b"ms":
                return self.choose((b"E", b"A", b"P", b"R", b"S", b"e", b"a", b"p", b"r", b"s"),
                                   (b"", b"x", b"SET", b"append", b"0"))
            return self.choose((b"I", b"D", b"+", b"-", b"i", b"d"),
                               (b"", b"x", b"0", b"incr", b"Decr"))
        if flag in "PL":
            return rng.choice((None, b"1", b"token"))
        return None

    # Binary.

    def binary(self):
        rng = self.rng
        dice = rng.random()
        if self.rough and rng.random() < 0.015:
            return self.binary_malformed()
        if dice < 0.34:
            return self.binary_get()
        if dice < 0.66:
            return self.binary_store()
        if dice < 0.78:
            return self.binary_arithmetic()
        if dice < 0.86:
            return self.binary_request(rng.choice((0x04, 0x04, 0x14)), cas=True)
        if dice < 0.93:
            return self.binary_request(rng.choice((0x1c, 0x1d, 0x1d, 0x1e, 0x23, 0x24)),
                                       extras=self.binary_exptime())
        return self.binary_other()

    # A touch, too, has its hands on the item until its reply is sent.
    BINARY_KINDS = dict.fromkeys((0x00, 0x09, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x23, 0x24), "read") | (
        dict.fromkeys((0x05, 0x06, 0x15, 0x16), "count"))

    def binary_name(self):
        rng = self.rng
        return rng.choice(self.RAW_NAMES + self.LINE_NAMES) if rng.random() < 0.06 else self.name()

    def binary_exptime(self):
        rng = self.rng
        if self.short_lives and rng.random() < 0.4:
            return struct.pack(">I", 2)
        return struct.pack(">I", self.choose(
            (0, 0, 0, 0, 100, 1000, 2592000, 2592001), (0xffffffff, 0x80000000, 0x7fffffff)))

    def binary_cas(self, name):
        part = self.cas(name)
        if type(part) is CasOf:
            return CasOf(part.name, part.which, True)
        return struct.pack(">Q", int(part) if part.isdigit() and int(part) < 2**64 else 1)

    def binary_request(self, opcode, name=None, extras=b"", value=b"", cas=False, keyless=False,
                       **odd):
        """A whole request; `odd` replaces header fields by wrong ones."""
        rng = self.rng
        key = b"" if keyless else self.binary_name() if name is None else name
        key_bytes = 0 if keyless else PREFIX_BYTES + len(key)
        opaque = self.next_opaque()
        # Rarely, fields that nobody looks at carry something.
        vbucket = rng.choice((1, 0xffff)) if rng.random() < 0.01 else 0
        before = struct.pack(
            ">BBHBBHII", odd.get("magic", 0x80), opcode, odd.get("key_bytes", key_bytes),
            odd.get("extra_bytes", len(extras)), odd.get("data_type", 0), vbucket,
            odd.get("body_bytes", key_bytes + len(extras) + len(value)), opaque)
        quoted = self.binary_cas(key) if cas and rng.random() < 0.3 else bytes(8)
        return Request(
            self.pieces(before, quoted, extras, b"" if keyless else Key(key), value), "binary",
            None if keyless else key, opaque, kind=self.BINARY_KINDS.get(opcode))

    def binary_get(self):
        return self.binary_request(self.rng.choice((0x00, 0x09, 0x0c, 0x0d)))

    def binary_store(self):
        rng = self.rng
        opcode = rng.choice((0x01, 0x01, 0x01, 0x02, 0x03, 0x0e, 0x0f,
                             0x11, 0x11, 0x12, 0x13, 0x19, 0x1a))
        name = self.binary_name()
        joins = opcode in (0x0e, 0x0f, 0x19, 0x1a)
        extras = b""
        if not joins:
            extras = struct.pack(">I", rng.choice((0, 0, 1, 0xdeadbeef))) + self.binary_exptime()
        return self.binary_request(opcode, name, extras, self.value(name, joins), cas=True)

    def binary_arithmetic(self):
        rng = self.rng
        delta = rng.choice((0, 1, 5, 2**32, self.largest))
        initial = rng.choice((0, 1, 100, self.largest))
        exptime = self.binary_exptime()
        if rng.random() < 0.4:
            exptime = b"\xff\xff\xff\xff"  # do not create
        return self.binary_request(
            rng.choice((0x05, 0x06, 0x15, 0x16)), rng.choice((b"n1", b"n2", b"n3", self.name())),
            struct.pack(">QQ", delta, initial) + exptime, cas=True)

    def binary_other(self):
        rng = self.rng
        dice = rng.random()
        if dice < 0.5:
            return self.binary_request(0x0a, keyless=True)
        if dice < 0.65:
            return self.binary_request(0x0b, keyless=True)
        if dice < 0.8:
            extras = rng.choice((b"", bytes(4), None))
            if extras is None:
                extras = struct.pack(">I", self.flush_delay())
            else:
                self.flushed_at_once()
            if "delayed flush" in self.avoid:
                extras = b""
            return self.binary_request(rng.choice((0x08, 0x18)), extras=extras, keyless=True)
        if dice < 0.9:
            topic = rng.choice((b"", b"settings", b"items", b"slabs", b"sizes", b"reset", b"conns",
                                b"nothing"))
            return self.binary_stat(topic)
        if self.rough and dice < 0.93:
            request = self.binary_request(rng.choice((0x07, 0x17)), keyless=True)
            request.alone = "close"
            return request
        if self.rough:
            return self.binary_request(rng.choice((0x1b, 0x20, 0x30, 0x3f, 0x40, 0x70, 0xff)),
                                       keyless=True)
        return self.binary_request(0x0a, keyless=True)

    def binary_stat(self, topic):
        opaque = self.next_opaque()
        header = struct.pack(">BBHBBHIIQ", 0x80, 0x10, len(topic), 0, 0, 0, len(topic), opaque, 0)
        return Request((header + topic,), "binary", None, opaque)

    def binary_malformed(self):
        """Mostly requests at which the server closes the connection. They are sent when nothing is
        outstanding: memcached would throw away unsent replies (known.py)."""
        rng = self.rng
        what = rng.randrange(10)
        value = b"12345678"
        if what == 0:
            request = self.binary_request(rng.choice((0x00, 0x01, 0x0a)),
                                          magic=rng.choice((0, 0x81, 0xff)))
        elif what == 1:
            request = self.binary_request(rng.choice((0x00, 0x0c, 0x04, 0x09)), keyless=True)
        elif what == 2:
            request = self.binary_request(0x01, extras=b"1234", value=value)
        elif what == 3:
            request = self.binary_request(rng.choice((0x05, 0x06)), extras=bytes(8))
        elif what == 4:
            request = self.binary_request(0x00, name=self.TOO_LONG + b"zzz")
        elif what == 5:
            request = self.binary_request(0x01, extras=bytes(8), value=value, body_bytes=4)
        elif what == 6:
            request = self.binary_request(rng.choice((0x00, 0x04, 0x0e)), extras=bytes(4))
        elif what == 7:
            request = self.binary_request(rng.choice((0x0a, 0x0b, 0x07)), value=value)
        elif what == 8:
            request = self.binary_request(rng.choice((0x1c, 0x1d, 0x24)))
        else:
            return self.binary_request(0x01, extras=bytes(8), value=value, data_type=1)
        request.settles = True
        request.alone = "close"
        return request

    def cut(self, request):
        """Only the first part of a request: the client stops in the middle."""
        sizes = [len(part) if type(part) is bytes
                 else PREFIX_BYTES + len(part.name) if type(part) is Key else 8
                 for part in request.parts]
        total = sum(sizes)
        if request.kind == "read":
            total = min(total, LINE_BYTES - 2 * LONGEST_KEY_BYTES)  # known.py; a key is not cut
        keep = self.rng.randrange(1, max(2, total))
        parts = []
        for part, size in zip(request.parts, sizes):
            if keep <= 0:
                break
            parts.append(part[:keep] if type(part) is bytes else part)
            keep -= size
        return Request(tuple(parts), request.wire, request.key, request.opaque, alone="cut")
