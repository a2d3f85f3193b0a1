"""nutcracker (twemproxy) in front of three servers, asked by pymemcache."""

import contextlib
import os

import support

NUTCRACKER = support.need_program("nutcracker", "nutcracker")
pymemcache = support.need_module("pymemcache.client.base", "python3-pymemcache")

# Pools differ in how they spread keys. A server that failed once is left out for a minute.
CONF = """
{name}:
  listen: 127.0.0.1:{port}
  hash: murmur
  distribution: {distribution}
  auto_eject_hosts: true
  server_retry_timeout: 60000
  server_failure_limit: 1
  timeout: 10000
  preconnect: true
  servers:
{servers}
"""
KEYS = [f"key-{number}" for number in range(300)]


class Pool:
    """A proxy and three servers of its own for each test, since a test may take one away."""

    distribution = None

    def setUp(self):
        self.servers = [support.Server() for _ in range(3)]
        for server in self.servers:
            self.addCleanup(server.stop)
        folder = self.servers[0].folder
        port = support.free_port()
        with open(os.path.join(folder, "nutcracker.yml"), "w") as file:
            file.write(CONF.format(
                name=self.distribution, port=port, distribution=self.distribution,
                servers="\n".join(f"   - {server.address}:1" for server in self.servers)))
        support.start_beside(
            self.addCleanup,
            [NUTCRACKER, "-c", file.name, "-a", "127.0.0.1", "-s", support.free_port()],
            os.path.join(folder, "nutcracker.log"))
        self.cache = pymemcache.Client(("127.0.0.1", port), timeout=20, connect_timeout=20,
                                       default_noreply=False)
        self.addCleanup(self.cache.close)
        support.wait_until(lambda: self.cache.get("ready") is None, "an answer of nutcracker")

    def items(self):
        """How many items each server holds."""
        return [int(server.stat("curr_items")) for server in self.servers]

    def test_keys_are_spread_and_come_back_together(self):
        values = {key: (key * 3).encode() for key in KEYS}
        self.assertEqual(self.cache.set_many(values), [])
        items = self.items()
        self.assertEqual(sum(items), len(KEYS))
        self.assertGreater(min(items), 30)
        self.assertEqual(self.cache.get_many(KEYS + ["missing"]), values)
        self.assertEqual({key: self.cache.get(key) for key in KEYS}, values)
        found = self.cache.gets_many(KEYS[:50])
        self.assertEqual({key: value for key, (value, _) in found.items()},
                         {key: values[key] for key in KEYS[:50]})

    def test_values_of_any_size_and_content_arrive_whole(self):
        for size in (0, 1, 4000, 16 * 1024, 100_000, support.NEARLY_ONE_MEGABYTE):
            value = os.urandom(size)
            self.assertTrue(self.cache.set(f"k{size}", value))
            self.assertEqual(self.cache.get(f"k{size}"), value)
        self.cache.set("k", support.ALL_BYTES)
        self.assertEqual(self.cache.get("k"), support.ALL_BYTES)
        large = {f"large-{number}": os.urandom(300_000) for number in range(12)}
        self.assertEqual(self.cache.set_many(large), [])
        self.assertEqual(self.cache.get_many(large), large)

    def test_every_command_that_the_proxy_knows(self):
        self.assertFalse(self.cache.replace("k", "x"))
        self.assertTrue(self.cache.add("k", "b"))
        self.assertFalse(self.cache.add("k", "y"))
        self.assertTrue(self.cache.append("k", "c"))
        self.assertTrue(self.cache.prepend("k", "a"))
        value, cas = self.cache.gets("k")
        self.assertEqual(value, b"abc")
        self.assertTrue(self.cache.cas("k", "two", cas))
        self.assertFalse(self.cache.cas("k", "three", cas))
        self.assertEqual(self.cache.get("k"), b"two")
        self.assertIsNone(self.cache.incr("n", 1))
        self.cache.set("n", "10")
        self.assertEqual(self.cache.incr("n", 32), 42)
        self.assertEqual(self.cache.decr("n", 2), 40)
        self.assertTrue(self.cache.touch("n", 100))
        self.assertFalse(self.cache.touch("missing", 100))
        self.assertTrue(self.cache.delete("n"))
        self.assertFalse(self.cache.delete("n"))

    def test_without_a_reply_the_stream_stays_in_step(self):
        for key in KEYS:
            self.cache.set(key, key, noreply=True)
        for key in KEYS[::2]:
            self.cache.delete(key, noreply=True)
        # The proxy answers for one server before another has stored what came earlier.
        support.wait_until(lambda: sum(self.items()) == len(KEYS) // 2, "the last write", 10)
        self.assertEqual(self.cache.get_many(KEYS), {key: key.encode() for key in KEYS[1::2]})

    def test_a_server_that_is_gone_is_ejected_and_the_others_take_its_keys(self):
        values = {key: key.encode() for key in KEYS}
        self.cache.set_many(values)
        held = self.items()
        self.servers[2].stop()
        del self.servers[2]
        found = {}

        def answered():
            """False while the proxy still tells that the dead server does not answer."""
            with contextlib.suppress(pymemcache.MemcacheServerError):
                found.update(self.cache.get_many(KEYS))
                return True

        support.wait_until(answered, "an answer without the dead server", 10)
        if self.distribution == "ketama":  # which moves no key of the servers that remain
            self.assertEqual(len(found), held[0] + held[1])
        self.assertLess(len(found), len(KEYS))
        self.assertEqual(self.cache.set_many(values), [])
        self.assertEqual(self.cache.get_many(KEYS), values)


class Ketama(Pool, support.unittest.TestCase):
    distribution = "ketama"


class Modula(Pool, support.unittest.TestCase):
    distribution = "modula"


if __name__ == "__main__":
    support.main()
