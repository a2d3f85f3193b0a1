"""pymemcache: the pure Python client, TCP and unix socket, pooled, retrying and hashing."""

import os
import time
import unittest

import support

support.need_module("pymemcache", "python3-pymemcache")
from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import (
    MemcacheClientError, MemcacheIllegalInputError, MemcacheServerError,
    MemcacheUnknownCommandError)


class Pymemcache:
    def place(self):
        return self.server.path or ("127.0.0.1", self.server.port)

    def client(self, kind=Client, **options):
        client = kind(self.place(), timeout=20, connect_timeout=10, **options)
        self.addCleanup(client.close)
        return client

    def test_bytes_come_back(self):
        client = self.client()
        for value in (b"bytes", support.ALL_BYTES, b"", os.urandom(support.NEARLY_ONE_MEGABYTE)):
            client.set("k", value, noreply=False)
            self.assertEqual(client.get("k"), value)

    def test_serialised_values_come_back(self):
        client = self.client(serde=serde.pickle_serde)
        for value in ("text", b"bytes", 17, {"a": [1, 2]}, None):
            client.set("k", value)
            self.assertEqual(client.get("k", default="nothing"), value)

    def test_a_value_beyond_the_limit_is_refused_and_the_connection_lives(self):
        client = self.client()
        client.set("k", b"old", noreply=False)
        with self.assertRaises(MemcacheServerError):
            client.set("k", bytes(2 * 1024 * 1024), noreply=False)
        self.assertIsNone(client.get("k"))
        self.assertTrue(client.set("k", b"new", noreply=False))
        self.assertEqual(client.get("k"), b"new")

    def test_many_keys_at_once(self):
        client = self.client()
        values = {f"key-{number}": os.urandom(number) for number in range(500)}
        self.assertEqual(client.set_many(values, noreply=False), [])
        self.assertEqual(client.get_many([*values, "missing"]), values)
        found = client.gets_many(["key-1", "key-2"])
        self.assertEqual({key: value for key, (value, cas) in found.items()},
                         {"key-1": values["key-1"], "key-2": values["key-2"]})
        self.assertTrue(client.delete_many(list(values), noreply=False))
        self.assertEqual(client.get_many(list(values)), {})

    def test_writes_without_reply_keep_their_order(self):
        client = self.client()
        client.set("n", b"0")
        for number in range(1000):
            client.set(f"quiet-{number}", str(number).encode(), noreply=True)
            client.incr("n", 1, noreply=True)
            client.delete(f"quiet-{number - 500}", noreply=True)
            client.touch(f"quiet-{number}", 100, noreply=True)
        self.assertEqual(client.get("n").strip(), b"1000")
        self.assertIsNone(client.get("quiet-499"))
        self.assertEqual(client.get("quiet-500"), b"500")

    def test_add_replace_append_prepend(self):
        client = self.client(default_noreply=False)
        self.assertFalse(client.replace("k", b"x"))
        self.assertFalse(client.append("k", b"x"))
        self.assertTrue(client.add("k", b"b"))
        self.assertFalse(client.add("k", b"y"))
        self.assertTrue(client.append("k", b"c"))
        self.assertTrue(client.prepend("k", b"a"))
        self.assertEqual(client.get("k"), b"abc")

    def test_cas_notices_another_writer(self):
        client = self.client(default_noreply=False)
        self.assertEqual(client.gets("k"), (None, None))
        self.assertIsNone(client.cas("k", b"x", b"1"))
        client.set("k", b"one")
        value, cas = client.gets("k")
        self.assertTrue(client.cas("k", b"two", cas))
        self.assertFalse(client.cas("k", b"three", cas))
        self.assertEqual(client.get("k"), b"two")

    def test_counters(self):
        client = self.client(default_noreply=False)
        self.assertIsNone(client.incr("n", 1))
        client.set("n", b"10")
        self.assertEqual(client.incr("n", 32), 42)
        self.assertEqual(client.decr("n", 100), 0)
        self.assertEqual(client.incr("n", 2**64 - 1), 2**64 - 1)
        client.set("word", b"abc")
        with self.assertRaises(MemcacheClientError):
            client.incr("word", 1)

    def test_touch_and_expiry(self):
        client = self.client(default_noreply=False)
        client.set("short", b"1", expire=1)
        client.set("touched", b"2", expire=1)
        client.set("gone", b"3", expire=-1)
        self.assertTrue(client.touch("touched", 100))
        self.assertFalse(client.touch("missing", 100))
        self.assertIsNone(client.get("gone"))
        time.sleep(2.1)
        self.assertEqual(client.get_many(["short", "touched"]), {"touched": b"2"})

    def test_flush_all_empties_the_cache(self):
        client = self.client(default_noreply=False)
        client.set("k", b"v")
        self.assertTrue(client.flush_all())
        self.assertIsNone(client.get("k"))

    def test_statistics_version_and_memory_limit(self):
        client = self.client()
        self.assertEqual(client.stats()[b"pid"], self.server.process.pid)
        self.assertIn(b"maxbytes", client.stats("settings"))
        self.assertRegex(client.version(), rb"^1\.\d+\.\d+")
        self.assertTrue(client.cache_memlimit(64))

    def test_bad_keys_and_commands_are_refused(self):
        client = self.client(default_noreply=False)
        with self.assertRaises(MemcacheIllegalInputError):
            client.set("k" * 251, b"v")
        client.set("k" * 250, b"longest")
        self.assertEqual(client.get("k" * 250), b"longest")
        with self.assertRaises(MemcacheUnknownCommandError):
            client._misc_cmd([b"no_such_command\r\n"], b"no_such_command", False)

    def test_unicode_keys_are_stored_as_their_bytes(self):
        client = self.client(allow_unicode_keys=True)
        client.set("schl\u00fcssel-\u9375", b"v")
        self.assertEqual(client.get("schl\u00fcssel-\u9375"), b"v")
        self.assertEqual(self.client().get("schl\u00fcssel-\u9375".encode()), b"v")

    def test_key_prefix_separates_clients(self):
        one, two = self.client(key_prefix=b"one:"), self.client(key_prefix=b"two:")
        one.set("k", b"1", noreply=False)
        two.set("k", b"2", noreply=False)
        self.assertEqual((one.get("k"), two.get("k")), (b"1", b"2"))
        self.assertEqual(self.client().get("one:k"), b"1")

    def test_a_pool_serves_many_requests(self):
        client = self.client(PooledClient, max_pool_size=4)
        for number in range(200):
            client.set(f"pooled-{number}", str(number).encode())
        self.assertEqual(client.get("pooled-199"), b"199")

    def test_a_retrying_client_passes_values_through(self):
        client = RetryingClient(self.client(), attempts=2)
        client.set("k", b"v", noreply=False)
        self.assertEqual(client.get("k"), b"v")

    def test_quit_closes_and_the_next_request_connects_again(self):
        client = self.client()
        client.set("k", b"v", noreply=False)
        client.quit()
        self.assertEqual(client.get("k"), b"v")


class OverTcp(Pymemcache, support.ServerCase):
    pass


class OverUnixSocket(Pymemcache, support.ServerCase):
    over_unix_socket = True


class SeveralServers(unittest.TestCase):
    def setUp(self):
        self.servers = []
        for unix in (False, False, True):
            server = support.Server(unix=unix)
            self.servers.append(server)
            self.addCleanup(server.stop)
        places = [server.path or ("127.0.0.1", server.port) for server in self.servers]
        self.client = HashClient(places, retry_attempts=0, dead_timeout=5, timeout=10)
        self.addCleanup(self.client.close)

    def test_keys_are_spread_and_found_again(self):
        values = {f"key-{number}": str(number).encode() for number in range(300)}
        self.assertEqual(self.client.set_many(values, noreply=False), [])
        self.assertEqual(self.client.get_many(list(values)), values)
        counts = [int(server.stat("curr_items")) for server in self.servers]
        self.assertEqual(sum(counts), 300)
        self.assertTrue(all(count > 40 for count in counts), counts)

    def test_a_stopped_server_takes_only_its_share_along(self):
        self.client.set_many({f"key-{number}": b"x" for number in range(300)}, noreply=False)
        self.servers[0].stop()
        places = [server.path or ("127.0.0.1", server.port) for server in self.servers]
        client = HashClient(places, retry_attempts=0, ignore_exc=True, dead_timeout=60)
        self.addCleanup(client.close)
        kept = sum(client.get(f"key-{number}") == b"x" for number in range(300))
        self.assertTrue(100 < kept < 300, kept)


if __name__ == "__main__":
    support.main()
