"""Clients that say who they are: SASL (-S) with libmemcached from Python and PHP and with
python-binary-memcached, a set of user and password (-Y) with pymemcache.
"""

import os
import unittest

import support
from auth_support import PASSWORD, SASL_USER, USER, AuthFileCase, SaslCase

pylibmc = support.need_module("pylibmc", "python3-pylibmc")
bmemcached = support.need_module("bmemcached", "python3-binary-memcached")
pymemcache = support.need_module("pymemcache", "python3-pymemcache")
PHP = support.need_program("php", "php-cli")
SCRIPTS = os.path.join(support.HERE, "scripts")


class Pylibmc(SaslCase):
    def client(self, password):
        return pylibmc.Client([self.server.address], binary=True, username=SASL_USER,
                              password=password)

    def test_a_user_stores_and_reads(self):
        client = self.client(PASSWORD)
        values = {f"key-{number}": os.urandom(number * 50) for number in range(100)}
        self.assertEqual(client.set_multi(values), [])
        self.assertEqual(client.get_multi(list(values)), values)
        self.assertEqual(client.clone().get("key-7"), values["key-7"])

    def test_a_stranger_does_not(self):
        for client in (self.client("baz"), pylibmc.Client([self.server.address], binary=True),
                       pylibmc.Client([self.server.address])):
            with self.assertRaises(pylibmc.Error):
                client.set("k", "v")


class Bmemcached(SaslCase):
    def client(self, password, kind=bmemcached.Client):
        client = kind((self.server.address,), SASL_USER, password, socket_timeout=20)
        self.addCleanup(client.disconnect_all)
        return client

    def test_a_user_stores_and_reads(self):
        for kind in (bmemcached.Client, bmemcached.DistributedClient):
            client = self.client(PASSWORD, kind)
            values = {f"key-{number}": os.urandom(number * 50) for number in range(100)}
            self.assertFalse(client.set_multi(values))
            self.assertEqual(client.get_multi(list(values)), values)

    def test_it_authenticates_again_after_it_was_cut_off(self):
        client = self.client(PASSWORD)
        self.assertTrue(client.set("k", "v"))
        client.disconnect_all()
        self.assertEqual(client.get("k"), "v")

    def test_a_stranger_does_not(self):
        with self.assertRaises(bmemcached.exceptions.MemcachedException):
            self.client("baz").set("k", "v")


class Php(SaslCase):
    def run_script(self, password):
        done = support.run([PHP, os.path.join(SCRIPTS, "php_memcached_sasl.php"), "127.0.0.1",
                            self.server.port, SASL_USER, password])
        return done, support.complaints_of_tap(done.stdout)

    def test_a_user_stores_and_reads(self):
        done, wrong = self.run_script(PASSWORD)
        self.assertEqual((done.returncode, wrong), (0, []), done.stdout)

    def test_a_stranger_does_not(self):
        done, wrong = self.run_script("baz")
        self.assertIn("not ok 1 - it is stored", done.stdout)
        self.assertNotIn("\nok", "\n" + done.stdout)


class Pymemcache(AuthFileCase):
    """It knows nothing of authentication, but a set is a set."""

    def test_a_user_stores_and_reads(self):
        client = pymemcache.Client(("127.0.0.1", self.server.port), timeout=20, default_noreply=False)
        self.addCleanup(client.close)
        with self.assertRaises(pymemcache.exceptions.MemcacheClientError):
            client.get("k")
        with self.assertRaises(pymemcache.exceptions.MemcacheClientError):
            client.set("any", f"{USER} baz")
        client.set("any", f"{USER} {PASSWORD}")
        self.assertTrue(client.set("k", b"v"))
        self.assertEqual(client.get("k"), b"v")
        self.assertIsNone(client.get("any"))


if __name__ == "__main__":
    support.main()
