"""Turns reply bytes into a form in which two servers can be compared.

What has to be equal byte for byte becomes `exact`; what may differ in a known way becomes `loose`:
CAS values (the same pattern of equal, higher and lower per key), seconds (off by two, since the
servers' clocks tick at different moments) and whether a key is shown in base64 (known.py). Bodies
of `stats` (but their names and order are compared), the version and the size fields of `me` and of
dumps are left out.
"""

import base64
import binascii
import re
import struct
import urllib.parse

from streams import FIRST_NATURAL_CAS, LAST_NATURAL_CAS

META_CODES = (b"VA ", b"HD ", b"HD\r", b"EN ", b"NF ", b"NS ", b"EX ")


def decoded(key):
    """What stands in base64 in `key`; None if nothing does."""
    try:
        return base64.b64decode(key, validate=True)
    except (ValueError, binascii.Error):
        return None


# Rows of stats that one server shows and the other does not: of memcached's threads that the
# reference is told to do without (run.py).
ROWS_OF_ONE = frozenset(
    b"lru_maintainer_juggles evicted_active moves_to_cold moves_to_warm moves_within_lru "
    b"direct_reclaims lru_bumps_dropped".split())
# After it `stats settings` goes on with what memcached does not show.
LAST_SETTING = b"client_flags_size"
# Rows of classes, connections and sizes, of which the servers have different ones.
ROW_OF_MANY = re.compile(rb"(items:)?\d")


class Rows:
    """Which rows of stats have to be there on both sides."""

    def __init__(self):
        self.beyond = False

    def end(self):
        self.beyond = False

    def compares(self, name):
        wanted = not self.beyond and name not in ROWS_OF_ONE and ROW_OF_MANY.match(name) is None
        self.beyond |= name == LAST_SETTING
        return wanted


class CasMemory:
    """The CAS values that one server has answered, per key, in the order of their first sight."""

    def __init__(self):
        self.seen = {}

    def copy(self):
        other = CasMemory()
        other.seen = {key: list(values) for key, values in self.seen.items()}
        return other

    def note(self, key, value):
        """Remembers `value` and returns what it has in common between servers."""
        if value < FIRST_NATURAL_CAS or value >= LAST_NATURAL_CAS:
            if key is not None and value:
                self.seen.setdefault(key, []).append(value)
            return value
        if key is None:
            return "some"
        seen = self.seen.setdefault(key, [])
        if value in seen:
            pattern = f"as answer {seen.index(value)}"
            if seen[-1] != value:
                seen.append(value)
            return pattern
        natural = [cas for cas in seen if FIRST_NATURAL_CAS <= cas < LAST_NATURAL_CAS]
        pattern = "higher" if not natural or value > max(natural) else "lower"
        seen.append(value)
        return pattern

    def cas_of(self, key, which):
        seen = self.seen.get(key)
        if not seen:
            return 999 if which == "now" else 1
        last = seen[-1]
        natural = FIRST_NATURAL_CAS <= last < LAST_NATURAL_CAS
        if which == "now":
            return last
        if which == "next":
            return last + (2**40 if natural else 1)
        if which == "before":  # and no other key's: a rough stream may quote it for that one
            return last // 2 if natural else last - 1
        return next((cas for cas in reversed(seen) if cas != last), last - 1)


def seconds(digits, loose):
    """What takes the place of a number of seconds."""
    number = int(digits)
    if number < 0 or number >= 2**31:
        # The time left of an item made with an expiry in the past, from the server's start on.
        return b"<past>"
    loose.append(("seconds", number))
    return b"<seconds>"


class Text:
    """Reads the replies of a text connection.

    memory     CasMemory of the server
    prefix     of the keys of this play
    opaques    opaque -> key of the requests sent
    in_base64  the names of the keys that were sent in base64
    rows       whether rows of stats are read
    """

    def __init__(self, memory, prefix, opaques, in_base64, rows):
        self.memory = memory
        self.rows = rows
        self.prefix = prefix
        self.opaques = opaques
        self.in_base64 = in_base64

    def key_name(self, key, marked=False):
        """The name of the key that a reply shows; None if it is none of this play's.

        Shown in base64 (`marked`) it is not what it looks like: a key may happen to be base64."""
        if key.startswith(self.prefix) and not marked:
            return key[len(self.prefix):]
        raw = decoded(key)
        return raw[len(self.prefix):] if raw and raw.startswith(self.prefix) else None

    def read(self, buffer):
        exact, loose = [], []
        rows = Rows()
        position, size = 0, len(buffer)
        while position < size:
            end = buffer.find(b"\n", position) + 1
            if end == 0:
                exact.append(buffer[position:])
                break
            line = buffer[position:end]
            start = line[:3]
            if start == b"VAL" and line.startswith(b"VALUE "):
                end = self._value(line, buffer, end, exact, loose)
            elif start in META_CODES:
                end = self._meta(line, buffer, end, exact, loose)
            elif start == b"STA" and line.startswith(b"STAT "):
                name = line.split()[1]
                if self.rows and rows.compares(name):
                    exact.append(b"STAT " + name)
            elif start == b"ME ":
                self._describe(line, exact, loose)
            elif start == b"VER" and line.startswith(b"VERSION "):
                exact.append(b"VERSION\r\n")
            else:
                exact.append(line)
                rows.end()
            position = end
        return exact, loose

    def _value(self, line, buffer, end, exact, loose):
        words = line.split()
        if len(words) < 4 or not words[3].isdigit():
            exact.append(line)
            return end
        if len(words) == 5 and words[4].isdigit():
            loose.append(("cas", self.memory.note(self.key_name(words[1]), int(words[4]))))
            words[4] = b"<cas>"
        after = end + int(words[3]) + 2
        exact.append(b" ".join(words) + b"\r\n" + buffer[end:after])
        return after

    def _unmarked(self, key, marked, loose):
        """What `key` stands for, with a note of whether it was shown in base64 (`marked`); None if
        it must not be, since nobody has sent it so."""
        raw = decoded(key) if marked else None
        if raw is None:
            raw, marked = key, False
        if raw.startswith(self.prefix) and raw[len(self.prefix):] not in self.in_base64:
            return None
        loose.append(("base64", marked))
        return raw

    def _meta(self, line, buffer, end, exact, loose):
        words = line.rstrip(b"\r\n").split(b" ")
        first = 1
        after = end
        if words[0] == b"VA":
            first = 2
            if len(words) > 1 and words[1].isdigit():
                after = end + int(words[1]) + 2
        key = None
        for index, word in enumerate(words[first:], first):
            if word[:1] == b"k":
                marked = words[index + 1:index + 2] == [b"b"]
                key = self.key_name(word[1:], marked)
                raw = self._unmarked(word[1:], marked, loose)
                # The key was left out, and a CAS value took its place; in base64 it is a key.
                if word[:2] == b"kC" and not marked:
                    words[index] = b"kC<cas>"
                elif raw is not None:
                    words[index:index + 1 + marked] = [b"k" + raw]
            elif word[:1] == b"O" and key is None and word[1:].isdigit():
                key = self.opaques.get(int(word[1:]))
        for index in range(first, len(words)):
            word = words[index]
            flag = word[:1]
            if flag == b"c" and word[1:].isdigit():
                loose.append(("cas", self.memory.note(key, int(word[1:]))))
                words[index] = b"c<cas>"
            elif flag in (b"t", b"l") and word[1:].isdigit():
                words[index] = flag + seconds(word[1:], loose)
        exact.append(b" ".join(words) + b"\r\n" + buffer[end:after])
        return after

    def _describe(self, line, exact, loose):
        words = line.rstrip(b"\r\n").split(b" ")
        key = self.key_name(words[1])
        raw = self._unmarked(words[1], not words[1].startswith(self.prefix), loose)
        if raw is not None:
            words[1] = raw
        for index in range(2, len(words)):
            name, _, value = words[index].partition(b"=")
            if name == b"cas" and value.isdigit():
                loose.append(("cas", self.memory.note(key, int(value))))
                words[index] = b"cas=<cas>"
            elif name in (b"exp", b"la") and value.lstrip(b"-").isdigit() and value != b"-1":
                words[index] = name + b"=" + seconds(value, loose)
            elif name in (b"cls", b"size"):
                words[index] = name + b"=<size>"
        exact.append(b" ".join(words) + b"\r\n")


class Binary:
    """Reads the replies of a binary connection; see Text."""

    def __init__(self, memory, prefix, opaques, in_base64, rows):
        self.memory = memory
        self.rows = rows
        self.opaques = opaques

    def read(self, buffer):
        exact, loose = [], []
        rows = Rows()
        position, size = 0, len(buffer)
        while position < size:
            if size - position < 24:
                exact.append(buffer[position:])
                break
            opcode, key_bytes, body_bytes, opaque, cas = struct.unpack_from(
                ">xBHxxxxIIQ", buffer, position)
            end = position + 24 + body_bytes
            if opcode == 0x10 and key_bytes:
                name = bytes(buffer[position + 24:position + 24 + key_bytes])
                if self.rows and rows.compares(name):
                    exact.append(b"STAT " + name)
                position = end
                continue
            rows.end()
            body = b"<version>" if opcode == 0x0b else buffer[position + 24:end]
            header = buffer[position:position + 16]
            if opcode == 0x0b:
                header = header[:8] + b"<size>" + header[12:]
            exact.append(header + body)
            loose.append(("cas", self.memory.note(self.opaques.get(opaque), cas)))
            position = end
        return exact, loose


MISPLACED_CAS = re.compile(rb"C\d+")


def read_watched(buffer, prefix, left_out):
    """The lines of a watcher, as `difference` wants them: without time, number and what is the
    server's own (descriptors; classes but for whether there is one)."""
    exact, loose = [], []
    lines = [line.split(b" ") for line in buffer.split(b"\n")[:-1]]
    lines.sort(key=lambda words: int(words[1][len(b"gid="):]))
    for _, _, *words in lines:
        if words[1].removeprefix(b"key=" + prefix) in left_out:
            continue  # what the test itself asks, now and then once more
        for index, word in enumerate(words):
            name, _, value = word.partition(b"=")
            if name == b"cfd":
                words[index] = b"cfd=<fd>"
            elif name == b"key" and MISPLACED_CAS.fullmatch(value):
                words[index] = b"key=C<cas>"  # of a malformed line
            elif word in (b"status=expired", b"status=flushed"):
                words[index] = b"status=not_found"  # known.py
            elif name == b"clsid":
                refused = words[0] == b"type=item_store" and b"status=stored" not in words
                words[index] = (b"clsid=0" if value == b"0" and not refused  # known.py
                                else b"clsid=<class>")
            elif name == b"ttl" and b"cmd=add" in words:
                words[index] = b"ttl=<any>"  # known.py
            elif name == b"ttl" and value != b"0":
                words[index] = b"ttl=" + seconds(value, loose)
        exact.append(b" ".join(words))
    return exact, loose


def read_dumped(buffer, memory, prefix):
    """The lines of a metadump or mgdump likewise, in the order of their keys."""
    exact, loose = [], []
    lines = []
    for line in buffer.splitlines():
        words = line.split(b" ")
        if words[0] == b"mg" and words[2:] == [b"b"]:
            words[1:] = [decoded(words[1])]  # known.py: the base64 mark of a key
        name = words[1 if words[0] == b"mg" else 0].removeprefix(b"key=")
        if name.startswith(prefix):  # and not one that memcached did not flush (known.py)
            lines.append(words)
    for words in sorted(lines):
        for index, word in enumerate(words):
            name, _, value = word.partition(b"=")
            if name == b"exp" and value != b"-1":
                words[index] = b"exp=" + seconds(value, loose)
            elif name in (b"la", b"cls", b"size"):
                words[index] = name
            elif name == b"cas":
                key = urllib.parse.unquote_to_bytes(words[0][len(b"key="):])
                loose.append(("cas", memory.note(key[len(prefix):], int(value))))
                words[index] = b"cas=<cas>"
        exact.append(b" ".join(words))
    return exact, loose


def loose_equal(one, other):
    """Whether `other`, of the subject, may stand for `one`, of the reference."""
    kind, value = one
    if one == other:
        return True
    if kind != other[0]:
        return False
    if kind == "base64":
        return other[1]  # of the subject
    return kind == "seconds" and abs(value - other[1]) <= 2


def difference(reference, subject):
    """None, or (sentence, index of the reply) for the first thing that differs between two `read`
    results."""
    for index, (one, other) in enumerate(zip(reference[0], subject[0])):
        if one != other:
            return f"reference {show(one)}, subject {show(other)}", index
    if len(reference[0]) != len(subject[0]):
        longer, name = ((reference, "reference") if len(reference[0]) > len(subject[0])
                        else (subject, "subject"))
        index = min(len(reference[0]), len(subject[0]))
        return f"only the {name} answers {show(longer[0][index])}", index
    for index, (one, other) in enumerate(zip(reference[1], subject[1])):
        if not loose_equal(one, other):
            return f"{one[0]} number {index}: reference {one[1]}, subject {other[1]}", 0
    return None


def show(reply, limit=300):
    text = repr(bytes(reply))[1:]
    return text if len(text) <= limit else f"{text[:limit]}... ({len(reply)} bytes)"
