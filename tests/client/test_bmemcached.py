"""python-binary-memcached (module bmemcached): the binary protocol, as Datadog's agent does."""

import os
import time
import unittest

import support

bmemcached = support.need_module("bmemcached", "python3-binary-memcached")


class Bmemcached:
    kind = bmemcached.Client

    def setUp(self):
        super().setUp()
        self.client = self.kind((self.server.address,), socket_timeout=20)
        self.addCleanup(self.client.disconnect_all)

    def test_values_of_every_kind_come_back(self):
        for value in ("text", support.ALL_BYTES, b"", 17, True, 1.5, {"a": [1, 2, (3,)]}):
            self.assertTrue(self.client.set("k", value))
            self.assertEqual(self.client.get("k"), value)

    def test_large_values_come_back_whole(self):
        value = os.urandom(support.NEARLY_ONE_MEGABYTE)
        self.assertTrue(self.client.set("large", value, compress_level=0))
        self.assertEqual(self.client.get("large"), value)

    def test_compressed_values_come_back(self):
        value = "squeeze me " * 50000
        self.assertTrue(self.client.set("packed", value, compress_level=9))
        self.assertEqual(self.client.get("packed"), value)

    def test_a_value_beyond_the_limit_is_refused_and_the_connection_lives(self):
        self.client.set("k", "old")
        with self.assertRaises(bmemcached.exceptions.MemcachedException):
            self.client.set("k", os.urandom(2 * 1024 * 1024), compress_level=0)
        self.assertTrue(self.client.set("k", "new"))
        self.assertEqual(self.client.get("k"), "new")

    def test_many_keys_at_once(self):
        values = {f"key-{number}": os.urandom(number) for number in range(500)}
        self.assertFalse(self.client.set_multi(values))  # the keys that failed
        self.assertEqual(self.client.get_multi([*values, "missing"]), values)
        found = self.client.get_multi(["key-1", "key-2"], get_cas=True)
        self.assertEqual({key: value for key, (value, cas) in found.items()},
                         {"key-1": values["key-1"], "key-2": values["key-2"]})
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_missing_keys_are_none(self):
        self.assertIsNone(self.client.get("missing"))
        self.assertEqual(self.client.get("missing", "default"), "default")
        self.assertFalse(self.client.replace("missing", "x"))

    def test_add_and_replace(self):
        self.assertTrue(self.client.add("k", "one"))
        self.assertFalse(self.client.add("k", "two"))
        self.assertEqual(self.client.get("k"), "one")
        self.assertTrue(self.client.replace("k", "three"))
        self.assertEqual(self.client.get("k"), "three")

    def test_cas_notices_another_writer(self):
        self.client.set("k", "one")
        value, cas = self.client.gets("k")
        self.assertEqual(value, "one")
        self.assertTrue(self.client.cas("k", "two", cas))
        self.assertFalse(self.client.cas("k", "three", cas))
        self.assertEqual(self.client.get("k"), "two")
        value, cas = self.client.gets("k")
        self.assertFalse(self.client.delete("k", cas=cas + 1000))
        self.assertTrue(self.client.delete("k", cas=cas))
        self.assertIsNone(self.client.get("k"))

    def test_expiry(self):
        self.client.set("short", 1, time=1)
        self.client.set("long", 2, time=100)
        time.sleep(2.1)
        self.assertEqual(self.client.get_multi(["short", "long"]), {"long": 2})

    def test_flush_all_empties_the_cache(self):
        self.client.set("k", "v")
        self.assertTrue(self.client.flush_all())
        self.assertIsNone(self.client.get("k"))

    def test_statistics(self):
        figures, = self.client.stats().values()
        self.assertEqual(int(figures["pid"]), self.server.process.pid)
        figures, = self.client.stats("settings").values()
        self.assertEqual(int(figures["maxbytes"]), 64 * 1024 * 1024)

    def test_the_longest_key_is_stored(self):
        self.assertTrue(self.client.set("k" * 250, "longest"))
        self.assertEqual(self.client.get("k" * 250), "longest")


class Replicating(Bmemcached):
    def test_counters(self):
        self.assertEqual(self.client.incr("n", 5, default=10), 10)
        self.assertEqual(self.client.incr("n", 5), 15)
        self.assertEqual(self.client.decr("n", 100), 0)
        self.client.set("word", "abc")
        with self.assertRaises(bmemcached.exceptions.MemcachedException):
            self.client.incr("word", 1)


class ReplicatingOverTcp(Replicating, support.ServerCase):
    pass


class ReplicatingOverUnixSocket(Replicating, support.ServerCase):
    over_unix_socket = True


class DistributedOverTcp(Replicating, support.ServerCase):
    kind = bmemcached.DistributedClient


class SeveralServers(unittest.TestCase):
    def test_a_distributed_client_spreads_keys_and_finds_them_again(self):
        with support.Server() as one, support.Server() as two:
            client = bmemcached.DistributedClient((one.address, two.address))
            self.addCleanup(client.disconnect_all)
            values = {f"key-{number}": str(number) for number in range(300)}
            self.assertFalse(client.set_multi(values))
            self.assertEqual(client.get_multi(list(values)), values)
            counts = int(one.stat("curr_items")), int(two.stat("curr_items"))
            self.assertEqual(sum(counts), 300)
            self.assertTrue(all(count > 20 for count in counts), counts)


if __name__ == "__main__":
    support.main()
