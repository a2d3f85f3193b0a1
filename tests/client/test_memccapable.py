"""memccapable, libmemcached's own conformance test, over the text and the binary protocol."""

import re
import unittest

import support

MEMCCAPABLE = support.need_program("memccapable", "libmemcached-tools")

# memccapable expects `delete key 0` and `delete key 5` to be told apart as they were until 1.6.18;
# memcached 1.6.45 ignores whatever follows the key, and so do we.
KNOWN_FAILURES = {"ascii delete", "ascii delete noreply"}
CASES_PER_PROTOCOL = 27


class Memccapable(support.ServerCase):
    def results(self, protocol):
        done = support.run([MEMCCAPABLE, "-h", "127.0.0.1", "-p", self.server.port, protocol])
        # The line that sums up goes to standard error and may fall into the middle of a line.
        text = re.sub(r"(\d+ of \d+ tests failed|All tests passed)\n?", "", done.stdout)
        results = dict(re.findall(r"^((?:ascii|binary) .*?)\s+\[(pass|FAIL)\]", text, re.M))
        self.assertEqual(len(results), CASES_PER_PROTOCOL, done.stdout)
        return {name for name, result in results.items() if result != "pass"}

    def test_every_text_case_passes_except_the_two_that_fail_on_memcached(self):
        self.assertEqual(self.results("-a"), KNOWN_FAILURES)

    def test_every_binary_case_passes(self):
        self.assertEqual(self.results("-b"), set())


if __name__ == "__main__":
    support.main()
