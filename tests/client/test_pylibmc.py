"""pylibmc: libmemcached from Python, text and binary, TCP and unix socket, one and many servers."""

import os
import time
import unittest

import support

pylibmc = support.need_module("pylibmc", "python3-pylibmc")


class Pylibmc:
    binary = False

    def setUp(self):
        super().setUp()
        self.client = pylibmc.Client(
            [self.server.address], binary=self.binary, behaviors={"tcp_nodelay": True, "cas": True})

    def test_values_of_every_kind_come_back(self):
        for value in ("text", b"bytes", support.ALL_BYTES, b"", 12345, 2**70, True, None, 1.5,
                      {"a": [1, 2, (3,)]}):
            self.assertTrue(self.client.set("k", value))
            self.assertEqual(self.client.get("k"), value)

    def test_large_values_come_back_whole(self):
        value = os.urandom(support.NEARLY_ONE_MEGABYTE)
        self.assertTrue(self.client.set("large", value))
        self.assertEqual(self.client.get("large"), value)

    def test_compressed_values_come_back(self):
        value = b"squeeze me " * 100000
        self.assertTrue(self.client.set("packed", value, min_compress_len=1000))
        self.assertEqual(self.client.get("packed"), value)

    def test_a_value_beyond_the_limit_is_refused_and_the_old_one_is_gone(self):
        self.client.set("k", "old")
        with self.assertRaises(pylibmc.Error):
            self.client.set("k", os.urandom(3 * 1024 * 1024))
        self.assertIsNone(self.client.get("k"))
        self.assertTrue(self.client.set("k", "new"))
        self.assertEqual(self.client.get("k"), "new")

    def test_many_keys_at_once(self):
        values = {f"key-{number}": os.urandom(number) for number in range(500)}
        self.assertEqual(self.client.set_multi(values), [])
        self.assertEqual(self.client.get_multi([*values, "missing"]), values)
        self.assertEqual(
            self.client.get_multi(["1", "2"], key_prefix="key-"),
            {"1": values["key-1"], "2": values["key-2"]})
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_missing_keys_are_none(self):
        self.assertIsNone(self.client.get("missing"))
        self.assertFalse(self.client.delete("missing"))
        self.assertNotIn("missing", self.client)
        with self.assertRaises(pylibmc.NotFound):
            self.client.incr("missing")

    def test_add_replace_append_prepend(self):
        if self.binary:  # the library turns the binary status into an exception
            with self.assertRaises(pylibmc.NotFound):
                self.client.replace("k", "x")
        else:
            self.assertFalse(self.client.replace("k", "x"))
        self.assertTrue(self.client.add("k", "b"))
        self.assertFalse(self.client.add("k", "y"))
        self.assertTrue(self.client.append("k", "c"))
        self.assertTrue(self.client.prepend("k", "a"))
        self.assertEqual(self.client.get("k"), "abc")
        self.assertTrue(self.client.replace("k", "z"))
        self.assertEqual(self.client.get("k"), "z")

    def test_counters(self):
        self.client.set("n", 10)
        self.assertEqual(self.client.incr("n", 32), 42)
        self.assertEqual(self.client.decr("n", 2), 40)
        self.assertEqual(self.client.decr("n", 100), 0)
        self.client.set("n", 2**40)
        self.assertEqual(self.client.incr("n", 1), 2**40 + 1)
        self.client.set("word", "abc")
        with self.assertRaises(pylibmc.Error):
            self.client.incr("word")

    def test_cas_notices_another_writer(self):
        self.client.set("k", "one")
        value, cas = self.client.gets("k")
        self.assertEqual(value, "one")
        self.assertTrue(self.client.cas("k", "two", cas))
        self.assertFalse(self.client.cas("k", "three", cas))
        self.assertEqual(self.client.get("k"), "two")
        self.client.delete("k")
        with self.assertRaises(pylibmc.NotFound):
            self.client.cas("k", "four", cas)

    def test_touch_and_expiry(self):
        self.client.set("short", 1, time=1)
        self.client.set("touched", 2, time=1)
        self.client.set("long", 3, time=100)
        self.assertTrue(self.client.touch("touched", 100))
        self.assertFalse(self.client.touch("missing", 100))
        time.sleep(2.1)
        self.assertEqual(
            self.client.get_multi(["short", "touched", "long"]), {"touched": 2, "long": 3})

    def test_statistics(self):
        self.client.set("k", "v")
        (_, figures), = self.client.get_stats()
        self.assertEqual(int(figures[b"pid"] if b"pid" in figures else figures["pid"]),
                         self.server.process.pid)

    def test_flush_all_empties_the_cache(self):
        self.client.set("k", "v")
        self.assertTrue(self.client.flush_all())
        self.assertIsNone(self.client.get("k"))

    def test_writes_without_reply_arrive(self):
        client = pylibmc.Client([self.server.address], binary=self.binary,
                                behaviors={"_noreply": True, "tcp_nodelay": True})
        for number in range(100):
            client.set(f"quiet-{number}", number)
        self.assertEqual(client.get("quiet-99"), 99)
        self.assertEqual(client.get("quiet-0"), 0)

    def test_clones_and_pools_share_what_is_stored(self):
        pool = pylibmc.ClientPool(self.client, 3)
        for number in range(10):
            with pool.reserve() as client:
                client.set(f"pooled-{number}", number)
        self.assertEqual(self.client.clone().get("pooled-7"), 7)


class TextOverTcp(Pylibmc, support.ServerCase):
    pass


class BinaryOverTcp(Pylibmc, support.ServerCase):
    binary = True


class TextOverUnixSocket(Pylibmc, support.ServerCase):
    over_unix_socket = True


class BinaryOverUnixSocket(Pylibmc, support.ServerCase):
    over_unix_socket = True
    binary = True


class SeveralServers(unittest.TestCase):
    """Ketama places keys; a client that knows only one server must find its share there."""

    def setUp(self):
        self.servers = []
        for _ in range(3):
            server = support.Server()
            self.servers.append(server)
            self.addCleanup(server.stop)
        self.addresses = [server.address for server in self.servers]

    def test_ketama_spreads_keys_and_finds_them_again(self):
        for behaviors in ({"ketama": True}, {"ketama_weighted": True},
                          {"distribution": "consistent ketama", "hash": "md5"}):
            for binary in (False, True):
                client = pylibmc.Client(self.addresses, binary=binary, behaviors=behaviors)
                client.flush_all()
                values = {f"key-{number}": number for number in range(600)}
                self.assertEqual(client.set_multi(values), [])
                self.assertEqual(client.get_multi(list(values)), values)
                held = [pylibmc.Client([address], binary=binary).get_multi(list(values))
                        for address in self.addresses]
                self.assertTrue(all(len(share) > 50 for share in held), behaviors)
                self.assertEqual(sum(len(share) for share in held), len(values))

    def test_the_other_servers_go_on_when_one_stops(self):
        client = pylibmc.Client(self.addresses, behaviors={
            "ketama": True, "remove_failed": 1, "retry_timeout": 1, "connect_timeout": 500})
        keys = [f"key-{number}" for number in range(100)]
        self.assertEqual(client.set_multi(dict.fromkeys(keys, "x")), [])
        self.assertIsNone(self.servers[0].stop())
        kept = 0
        for key in keys:
            try:
                kept += client.get(key) == "x"
            except pylibmc.Error:
                pass
        self.assertTrue(20 < kept < 100, kept)


if __name__ == "__main__":
    support.main()
