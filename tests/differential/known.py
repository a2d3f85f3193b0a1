"""The known differences between Larder and the references, each with its reason.

Larder answers as memcached 1.6.45 does. An entry is something that is taken out of the reference's
replies before they are compared (`rewrite`), or something that is not asked of a reference of that
version (`avoid`: names that streams.py looks up, or that only say what it leaves out always), or
(neither) something that replies.py compares more loosely.
"""

import re
from collections import namedtuple

Known = namedtuple("Known", "name before reason rewrite avoid", defaults=(None, ()))

# `before`: the entry holds for references older than this version; None: for all.
KNOWN = (
    Known(
        "an empty line after the refusal of an over-long key of get, gets, gat and gats",
        None,
        "an error of memcached: a client that reads line by line takes the empty line for the "
        "answer to its next request. Larder sends the refusal alone. (If the last key is "
        "noreply, memcached sends the empty line alone; such lines are not sent.)",
        rewrite=(re.compile(rb"(CLIENT_ERROR bad command line format\r\n)\r\n"), rb"\1")),
    Known(
        "replies lost before the refusal of an over-long key of get, gets, gat and gats",
        None,
        "an error of memcached: with the replies to the refused line it throws away those to "
        "earlier requests of the same pipeline that it has not sent yet, so that the client "
        "waits for ever. How many depends on how the bytes arrive. Larder takes back the replies "
        "to the refused line only. Such lines are therefore sent when nothing is outstanding.",
        avoid=("an over-long key of the get family behind unanswered requests",)),
    Known(
        "replies lost when the server closes because of an endless line, an HTTP request or a "
        "malformed binary request",
        None,
        "memcached closes at once, without the replies to earlier requests of the same pipeline "
        "that it has not sent yet; how many these are depends on how the bytes arrive. Larder "
        "sends them first. Such requests are therefore sent when nothing is outstanding.",
        avoid=("a closing request behind unanswered requests",)),
    Known(
        "replies held back while the body of a refused store is skipped",
        None,
        "memcached sends what it has to say when it has read the whole body, also what it has to "
        "say to earlier requests of the same pipeline. Larder sends those replies at once. Lines "
        "of stores with something wrong in them, whose body may never end, are therefore sent "
        "when nothing is outstanding.",
        avoid=("a malformed store behind unanswered requests",)),
    Known(
        "an unfinished line of get or gets of more than 2048 bytes",
        None,
        "memcached collects the whole line, in memory without a bound, before it answers. Larder "
        "answers a line of that length key by key as it comes, also if it never ends.",
        avoid=("endless lines of get and gets",)),
    Known(
        "an unfinished line of gat or gats of more than 2048 bytes",
        None,
        "an error of memcached: it may be a list of keys as long as get and gets may have, but "
        "memcached closes the connection, or not, depending on how the bytes arrive. Larder "
        "answers.",
        avoid=("endless lines of gat and gats",)),
    Known(
        "incr, decr and ma on a value of white space alone",
        None,
        "an error of memcached: it looks for a number behind the value, in whatever the memory "
        "held before, and may find one. To Larder it is no number.",
        avoid=("values of white space alone",)),
    Known(
        "requests that are refused and done nevertheless",
        None,
        "an error of memcached: mg and ma notice an over-long opaque only when they write their "
        "reply, so that a counter is changed, or an item created, by a request that is answered "
        "with CLIENT_ERROR. Larder refuses before it does anything.",
        avoid=("over-long opaques of mg and ma",)),
    Known(
        "the class that watch shows of an item that was not stored",
        None,
        "memcached has allocated it by then and shows where it would have gone. Larder finds out "
        "before it allocates, and shows 0."),
    Known(
        "whether watch says of a miss that the item has expired or was flushed",
        None,
        "memcached frees such an item at the first look, and says not_found from then on; of items "
        "that are younger than a second already at flush_all. Larder's upkeep frees it, and until "
        "then every look says expired or flushed."),
    Known(
        "the ttl that watch shows of a counter that ma creates",
        None,
        "an error of memcached: it tells before it has set the time, and shows 0. Larder shows the "
        "time. (It looks like an add, whose ttl is therefore not compared.)"),
    Known(
        "what watch shows of a value that is too large",
        None,
        "an error of memcached: for ms it takes the command from memory that nobody has set, shows "
        "na, or reads beyond its list of names and crashes.",
        avoid=("values that are too large, while somebody watches",)),
    Known(
        "the base64 mark of a key",
        None,
        "an error of memcached: it forgets that a key came in base64 when mg or ma creates the "
        "item (N), and when append, prepend, md x or a longer number replaces it; from then on "
        "meta replies show the key as it is, with whatever is in it. Larder keeps the mark. It "
        "must show it where memcached does, and may for any key that was sent in base64."),
    Known(
        "the CAS value of an ms that is refused or cut off",
        None,
        "an error of memcached: the one that was meant for it, or that it brought (E), becomes that "
        "of the next store of that connection, or of a later connection that has the same memory, "
        "also if the item has a higher one by now. Larder forgets it. E is not sent in what may be "
        "refused, or end in the middle; and an ms that is well stands behind what may be refused, "
        "and at the beginning of each connection.",
        avoid=("ms E in malformed stores",)),
    Known(
        "a NUL behind the topic of stats",
        None,
        "to memcached the topic ends there. To Larder the NUL belongs to it, so that it is "
        "unknown.",
        avoid=("stats with a NUL",)),
    Known(
        "T and E of ma on a number that gets longer",
        None,
        "an error of memcached: it replaces the item by a longer one, then gives the new time and "
        "CAS value to the old one. Larder gives them to the new one. With T and E ma only counts "
        "down, and is never malformed.",
        avoid=("ma T and E upwards",)),
    Known(
        "a delayed flush_all after one whose time has come",
        None,
        "an error of memcached: the later one takes the earlier one back, and what has not been "
        "asked for meanwhile is there again. Larder has flushed. A stream that waits has one at "
        "most, and none after a flush at once.",
        avoid=("a second delayed flush",)),
    Known(
        "unknown binary opcodes with a body",
        None,
        "memcached answers Unknown command and then takes the body for the next request. Larder "
        "skips the body, so that the connection stays in step. They are sent without a body "
        "only.",
        avoid=("unknown opcodes with a body",)),
    Known(
        "keys with a line break in meta replies",
        None,
        "memcached shows a key in base64 only if the item was stored with meta b, and otherwise "
        "as it is, also with a line break in it. Such keys are stored and read over binary only.",
        avoid=("keys with a line break over meta",)),
    Known(
        "incr, decr and ma on an item whose value is still being sent",
        None,
        "memcached then makes a new item instead of changing the old one: the result is not "
        "padded with blanks, and the T of ma is lost. Whether a value is still being sent "
        "depends on how the bytes arrive. Larder pads always, and keeps T. Such requests are "
        "therefore sent when no reply with their item is outstanding.",
        avoid=("counting behind an unanswered read of the same key",)),
    Known(
        "older: malformed requests",
        "1.6.45",
        "memcached 1.6.18 refuses them with other words, refuses others, and takes the body of a "
        "store that it refuses for requests. Larder does as 1.6.45 does.",
        avoid=("malformed requests",)),
    Known(
        "older: delete with a number behind the key",
        "1.6.45",
        "memcached 1.6.18 takes 0 only; 1.6.45 ignores what follows the key.",
        avoid=("delete with a number",)),
    Known(
        "older: meta flags that 1.6.18 does not have",
        "1.6.45",
        "E chooses the CAS value, md x keeps an empty item, ms s answers the size, ms N creates "
        "when appending, mg C is a conditional get: all newer than 1.6.18.",
        avoid=("mg E", "ms E", "md E", "ma E", "md x", "ms s", "ms N", "mg C")),
    Known(
        "older: me",
        "1.6.45",
        "memcached 1.6.18 counts exp in the wrong direction and does not take b.",
        avoid=("me",)),
    Known(
        "older: delayed flush_all",
        "1.6.45",
        "in memcached 1.6.18 a delayed flush_all takes back any earlier one.",
        avoid=("delayed flush",)),
    Known(
        "older: counters beyond 63 bits",
        "1.6.45",
        "when a counter has its highest bit set, memcached 1.6.18 looks for a minus sign behind "
        "it, also beyond the end of the item, and then calls it non-numeric.",
        avoid=("counters beyond 63 bits",)),
    Known(
        "older: ma with q",
        "1.6.45",
        "memcached 1.6.18 answers a successful ma in spite of q.",
        avoid=("ma q",)),
    Known(
        "older: rows of stats",
        "1.6.45",
        "memcached 1.6.18 has some that are gone since, and not yet some others.",
        avoid=("rows of stats",)),
    Known(
        "older: watch and dumps",
        "1.6.45",
        "memcached 1.6.18 shows other fields and does not know every stream.",
        avoid=("watched streams",)),
)


def as_numbers(version):
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def known_for(version):
    """The entries that hold for a reference of this version."""
    return [entry for entry in KNOWN
            if entry.before is None or as_numbers(version) < as_numbers(entry.before)]


def rewriter(entries):
    """One function that applies the rewrites of the entries to a reply."""
    rules = [entry.rewrite for entry in entries if entry.rewrite]

    def rewrite(received):
        for pattern, replacement in rules:
            received = pattern.sub(replacement, received)
        return received

    return rewrite
