"""What a get runs in core, as the compiler made it: no locked instruction, no call of a lock.

Dev builds count the writes (tests/core/atomic_test.cc); this looks at what users run.
"""

import platform
import re
import unittest

import support

OBJDUMP = support.need_program("objdump", "binutils")

# By name without arguments: Cache::lookup has inlined the rest but for the repeat of a search.
GET_PATH = ("larder::core::Cache::lookup", "larder::core::HashTable::find")
WRITE_PATH = "larder::core::Shard::allocate"


class GetPath(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        listing = support.run([OBJDUMP, "-dC", "--no-show-raw-insn", support.server_command()[0]]).stdout
        cls.functions = re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)+)", listing, re.M)

    def bodies(self, name):
        found = [body for symbol, body in self.functions if symbol.startswith(name + "(")]
        self.assertTrue(found, f"no {name} in the program")
        return found

    def locked(self, body):
        # An xchg with memory is locked without saying so.
        return re.findall(r".*(?:\block\b|\bxchg\s.*\(|_mutex_).*", body)

    @unittest.skipUnless(platform.machine() == "x86_64", "says something of x86 only")
    def test_no_instruction_of_a_get_is_locked(self):
        for name in GET_PATH:
            for body in self.bodies(name):
                self.assertEqual(self.locked(body), [])

    @unittest.skipUnless(platform.machine() == "x86_64", "says something of x86 only")
    def test_a_store_is_seen_to_lock(self):
        self.assertTrue(any(self.locked(body) for body in self.bodies(WRITE_PATH)))


if __name__ == "__main__":
    support.main()
