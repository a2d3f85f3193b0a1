#!/usr/bin/python3
"""Plays the same random requests to a reference and to a subject, and compares their replies.

    run.py --reference /usr/bin/memcached --subject build/release/daemon/larderd --seconds 60

Both are commands; `{port}` in them becomes a free port, and without it `-l 127.0.0.1 -p PORT` is
added, and to the reference what makes memcached answer the same every time (MEMCACHED_OPTIONS).
The exit code is 0 if no difference was found beyond the known ones (known.py), else 1, with
the seed and the shortest stream found that still shows it.
"""

import argparse
import random
import sys
import time

import known
import play
import replies
import streams

# memcached's threads take hold of items now and then, and an incr that meets them answers
# otherwise (known.py); with these options only the clients' requests decide: the crawler goes when
# it is told to.
MEMCACHED_OPTIONS = "-t 1 -o no_lru_maintainer"
# So that watchers lose no line. (From 1024 on memcached 1.6.18 has no room for other things.)
OPTIONS = " -o worker_logbuf_size=512,watcher_logbuf_size=4096"
EXPIRY_EVERY_STREAMS = 200  # they wait
SHRINK_PLAYS = 400
SHRINK_PLAYS_WITH_PAUSE = 30
SHRINK_SECONDS = 60
SHOWN_REQUESTS = 30


def shrink(player, stream, difference):
    """The shortest request list found that still differs, with its difference; (None, difference)
    if it does not show again."""
    best = stream.requests[:difference.position]
    budget = SHRINK_PLAYS
    if any(request.seconds for request in best):
        budget = SHRINK_PLAYS_WITH_PAUSE
    deadline = time.monotonic() + SHRINK_SECONDS
    whole_writes = True
    again = player.play(stream, best, whole_writes)
    if again is None:
        whole_writes = False
        again = player.play(stream, best)
    if again is None:
        return None, difference
    difference = again
    best = best[:difference.position]
    step = max(1, len(best) // 2)
    while budget > 0 and time.monotonic() < deadline:
        shorter = False
        end = len(best)
        while end > 0 and budget > 0 and time.monotonic() < deadline:
            start = max(0, end - step)
            candidate = best[:start] + best[end:]
            budget -= 1
            found = player.play(stream, candidate, whole_writes) if candidate else None
            if found:
                best, difference, shorter = candidate[:found.position], found, True
            end = min(start, len(best))
        if step == 1 and not shorter:
            break
        step = max(1, step // 2)
    return best, difference


def report(player, stream, difference):
    print(f"\nDIFFERENCE with --seed {stream.seed} --dialect {stream.dialect}: {difference.what}")
    shortest, difference = shrink(player, stream, difference)
    if shortest is None:
        print("It did not show again when the same stream was played once more. Its last batch:")
        shortest = difference.batch
    print(f"The shortest stream that shows it: {difference.what}")
    if len(shortest) > SHOWN_REQUESTS:
        print(f"  (the last {SHOWN_REQUESTS} of {len(shortest)} requests)")
    for request in shortest[-SHOWN_REQUESTS:]:
        if request.seconds:
            print(f"  (a pause of {request.seconds} s)")
        else:
            print(f"  {request.wire} > {replies.show(request.render(player.sides[1]))}"
                  f"{' (' + request.alone + ')' if request.alone else ''}")
    for name, around in zip(("reference", "subject"), difference.replies):
        for reply in around:
            print(f"  {name:9} < {replies.show(reply)}")
    sys.stdout.flush()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--reference", required=True, metavar="CMD")
    parser.add_argument("--subject", required=True, metavar="CMD")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="play the stream of this seed only")
    parser.add_argument("--first-seed", type=int, metavar="N",
                        help="play the streams that follow from N; default: others every time")
    parser.add_argument("--dialect", choices=streams.DIALECTS, help="default: all, in turn")
    parser.add_argument("--differences", type=int, default=1, metavar="N",
                        help="stop after N differences (default 1)")
    parser.add_argument("--subject-is-memcached", action="store_true",
                        help="the subject shares memcached's known errors: checks this program")
    parser.add_argument("--verbose", action="store_true", help="name every stream")
    return parser.parse_args()


def choose(rng, options, count, avoid):
    """The dialect of stream number `count`."""
    if options.dialect:
        return options.dialect
    if count % EXPIRY_EVERY_STREAMS == EXPIRY_EVERY_STREAMS // 2:
        return "expiry"
    dialect = rng.choices(streams.DIALECTS[:-1], streams.WEIGHTS)[0]
    return "mixed" if dialect == "watched" and "watched streams" in avoid else dialect


def main():
    options = arguments()
    reference = play.Side("reference", options.reference, MEMCACHED_OPTIONS + OPTIONS)
    try:
        subject = play.Side("subject", options.subject,
                            (MEMCACHED_OPTIONS if options.subject_is_memcached else "") + OPTIONS)
    except BaseException:
        reference.stop()
        raise
    entries = known.known_for(reference.version)
    rewrite = known.rewriter(entries)
    rewrites = (rewrite, rewrite if options.subject_is_memcached else bytes)
    avoid = {name for entry in entries for name in entry.avoid}
    player = play.Player(reference, subject, rewrites, rows="rows of stats" not in avoid)
    generator = streams.Generator(avoid)
    print(f"reference {reference.version}, subject {subject.version}; "
          f"{len(entries)} known differences", flush=True)

    rng = random.Random(options.first_seed)
    started = time.monotonic()
    count = differences = slips = 0
    stream = None
    try:
        while time.monotonic() - started < options.seconds and differences < options.differences:
            dialect = choose(rng, options, count, generator.avoid)
            seed = options.seed if options.seed is not None else rng.getrandbits(32)
            if options.verbose:
                print(f"--seed {seed} --dialect {dialect}", flush=True)
            stream = generator.stream(seed, dialect)
            count += 1
            found = player.play(stream)
            if found and found.is_of_the_clock and not player.play(stream):
                slips += 1  # a moment's pause of one server, across the end of a second
            elif found:
                differences += 1
                report(player, stream, found)
            if options.seed is not None:
                break
    except play.ServerDied as died:
        print(f"\n{died}\nwhile playing --seed {stream.seed} --dialect {stream.dialect}")
        differences += 1
    finally:
        for side in player.sides:
            side.stop()
    seconds = time.monotonic() - started
    print(f"{count} streams, {player.requests_played} requests in {seconds:.1f} s "
          f"({player.requests_played / seconds:.0f} per second): {differences} differences"
          + (f", and {slips} of the clock that did not come again" if slips else ""), flush=True)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
