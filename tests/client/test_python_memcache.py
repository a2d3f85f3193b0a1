"""python-memcache: the oldest Python client (module memcache), TCP and unix socket."""

import os
import time

import support

memcache = support.need_module("memcache", "python3-memcache")


class PythonMemcache:
    def setUp(self):
        super().setUp()
        place = f"unix:{self.server.path}" if self.server.path else self.server.address
        self.client = memcache.Client([place], cache_cas=True, socket_timeout=20)
        self.addCleanup(self.client.disconnect_all)

    def test_values_of_every_kind_come_back(self):
        for value in ("text", support.ALL_BYTES, b"", 17, 2**80, True, 1.5, {"a": [1, 2, (3,)]}):
            self.assertTrue(self.client.set("k", value))
            self.assertEqual(self.client.get("k"), value)

    def test_large_values_come_back_whole(self):
        value = os.urandom(support.NEARLY_ONE_MEGABYTE)
        self.assertTrue(self.client.set("large", value))
        self.assertEqual(self.client.get("large"), value)

    def test_compressed_values_come_back(self):
        value = "squeeze me " * 50000
        self.assertTrue(self.client.set("packed", value, min_compress_len=100))
        self.assertEqual(self.client.get("packed"), value)

    def test_a_value_beyond_the_limit_is_refused_and_the_old_one_is_gone(self):
        client = memcache.Client([
            f"unix:{self.server.path}" if self.server.path else self.server.address],
            server_max_value_length=4 * 1024 * 1024)
        self.addCleanup(client.disconnect_all)
        client.set("k", "old")
        self.assertFalse(client.set("k", os.urandom(2 * 1024 * 1024)))
        self.assertIsNone(client.get("k"))
        self.assertTrue(client.set("k", "new"))
        self.assertEqual(client.get("k"), "new")

    def test_many_keys_at_once(self):
        values = {f"key-{number}": os.urandom(number) for number in range(500)}
        self.assertEqual(self.client.set_multi(values), [])
        self.assertEqual(self.client.get_multi([*values, "missing"]), values)
        self.assertEqual(self.client.set_multi({1: "one", 2: "two"}, key_prefix="n-"), [])
        self.assertEqual(self.client.get_multi([1, 2, 3], key_prefix="n-"), {1: "one", 2: "two"})
        self.assertEqual(self.client.get("n-1"), "one")
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_missing_keys_are_none(self):
        self.assertIsNone(self.client.get("missing"))
        self.assertIsNone(self.client.incr("missing"))
        self.assertIsNone(self.client.decr("missing"))

    def test_add_replace_append_prepend(self):
        self.assertFalse(self.client.replace("k", "x"))
        self.assertFalse(self.client.append("k", "x"))
        self.assertTrue(self.client.add("k", "b"))
        self.assertFalse(self.client.add("k", "y"))
        self.assertTrue(self.client.append("k", "c"))
        self.assertTrue(self.client.prepend("k", "a"))
        self.assertEqual(self.client.get("k"), "abc")

    def test_cas_notices_another_writer(self):
        self.client.set("k", "one")
        self.assertEqual(self.client.gets("k"), "one")
        self.assertTrue(self.client.cas("k", "two"))
        self.assertEqual(self.client.gets("k"), "two")
        self.server.ask(b"set k 0 0 5\r\nother\r\n")
        self.assertFalse(self.client.cas("k", "three"))
        self.assertEqual(self.client.get("k"), b"other")

    def test_counters(self):
        self.client.set("n", 10)
        self.assertEqual(self.client.incr("n", 32), 42)
        self.assertEqual(self.client.decr("n", 100), 0)
        self.client.set("n", 2**64 - 1)
        self.assertEqual(self.client.incr("n"), 0)

    def test_touch_and_expiry(self):
        self.client.set("short", 1, time=1)
        self.client.set("touched", 2, time=1)
        self.assertTrue(self.client.touch("touched", 100))
        time.sleep(2.1)
        self.assertEqual(self.client.get_multi(["short", "touched"]), {"touched": 2})

    def test_deletes_and_flushes(self):
        self.client.set_multi({"a": 1, "b": 2})
        self.assertTrue(self.client.delete("a"))
        self.assertTrue(self.client.delete("a"))  # NOT_FOUND counts as deleted for this client
        self.assertIsNone(self.client.get("a"))
        self.client.flush_all()
        self.assertIsNone(self.client.get("b"))

    def test_writes_without_reply_arrive(self):
        for number in range(200):
            self.client.set(f"quiet-{number}", number, noreply=True)
        self.client.delete("quiet-3", noreply=True)
        self.assertEqual(self.client.get("quiet-199"), 199)
        self.assertIsNone(self.client.get("quiet-3"))

    def test_statistics(self):
        self.client.set("k", "v")
        (_, figures), = self.client.get_stats()
        self.assertEqual(int(figures["pid"]), self.server.process.pid)
        (_, figures), = self.client.get_stats("settings")
        self.assertEqual(figures["maxbytes"], str(64 * 1024 * 1024))

    def test_bad_keys_are_refused(self):
        with self.assertRaises(memcache.Client.MemcachedKeyLengthError):
            self.client.set("k" * 251, "v")
        self.assertTrue(self.client.set("k" * 250, "longest"))
        self.assertEqual(self.client.get("k" * 250), "longest")


class OverTcp(PythonMemcache, support.ServerCase):
    pass


class OverUnixSocket(PythonMemcache, support.ServerCase):
    over_unix_socket = True


class SeveralServers(support.unittest.TestCase):
    def test_keys_are_spread_and_found_again(self):
        with support.Server() as one, support.Server() as two:
            client = memcache.Client([one.address, (two.address, 2)])
            self.addCleanup(client.disconnect_all)
            values = {f"key-{number}": number for number in range(300)}
            self.assertEqual(client.set_multi(values), [])
            self.assertEqual(client.get_multi(list(values)), values)
            counts = int(one.stat("curr_items")), int(two.stat("curr_items"))
            self.assertEqual(sum(counts), 300)
            self.assertTrue(all(count > 50 for count in counts), counts)


if __name__ == "__main__":
    support.main()
