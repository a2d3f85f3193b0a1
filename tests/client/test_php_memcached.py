"""PHP's memcached extension: its API over text and binary, and sessions kept in the cache."""

import os
import re
import subprocess
import time

import support

PHP = support.need_program("php", "php-cli")
SCRIPTS = os.path.join(support.HERE, "scripts")

if support.run([PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")


class Api:
    def place(self):
        return [self.server.path or "127.0.0.1", self.server.port or 0]

    def test_the_api_over_text(self):
        self.run_script(PHP, os.path.join(SCRIPTS, "php_memcached.php"), *self.place(), "text")

    def test_the_api_over_binary(self):
        self.run_script(PHP, os.path.join(SCRIPTS, "php_memcached.php"), *self.place(), "binary")


class ApiOverTcp(Api, support.ScriptCase):
    pass


class ApiOverUnixSocket(Api, support.ScriptCase):
    over_unix_socket = True


class Sessions:
    """Each request is a PHP process of its own, so all that it knows comes from the cache."""

    binary = "Off"
    locking = "Off"

    def command(self, *arguments, **settings):
        settings = {
            "session.save_handler": "memcached", "session.save_path": self.server.address,
            "session.use_strict_mode": "0", "session.use_cookies": "0",
            "session.cache_limiter": "", "session.gc_maxlifetime": "100",
            "memcached.sess_binary_protocol": self.binary,
            "memcached.sess_locking": self.locking, **settings}
        defines = [word for name, value in settings.items() for word in ("-d", f"{name}={value}")]
        return [PHP, *defines, os.path.join(SCRIPTS, "session.php"), *arguments]

    def request(self, *arguments, **settings):
        done = support.run(self.command(*arguments, **settings))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("Warning", done.stdout)
        return done.stdout

    def test_a_session_lives_from_request_to_request(self):
        self.assertEqual(self.request("first", "add", "a"), "list=a\n")
        self.assertEqual(self.request("first", "add", "b"), "list=a,b\n")
        self.assertEqual(self.request("other", "add", "z"), "list=z\n")
        self.assertEqual(self.request("first", "add", "c"), "list=a,b,c\n")
        self.assertIn(b"VALUE memc.sess.key.first ",
                      self.server.ask(b"get memc.sess.key.first\r\n", b"END\r\n"))

    def test_a_session_that_only_reads_stays(self):
        self.request("reader", "add", "a")
        self.assertEqual(self.request("reader", "read"), "list=a\n")
        self.assertEqual(self.request("reader", "read"), "list=a\n")

    def test_a_session_expires(self):
        self.request("short", "add", "a", **{"session.gc_maxlifetime": "1"})
        time.sleep(2.1)
        self.assertEqual(self.request("short", "add", "b"), "list=b\n")

    def test_a_destroyed_session_is_gone(self):
        self.request("ended", "add", "a")
        self.request("ended", "destroy")
        self.assertEqual(self.server.ask(b"get memc.sess.key.ended\r\n", b"END\r\n"), b"END\r\n")
        self.assertEqual(self.request("ended", "add", "b"), "list=b\n")

    def test_a_renewed_session_keeps_its_content(self):
        self.request("old", "add", "a")
        renewed = re.search(r"id=(\S+)", self.request("old", "renew")).group(1)
        self.assertNotEqual(renewed, "old")
        self.assertEqual(self.request(renewed, "add", "b"), "list=a,b\n")
        self.assertEqual(self.request("old", "add", "c"), "list=c\n")

    def test_a_large_session_is_kept(self):
        words = "x" * 100000
        for count in range(1, 4):
            self.assertEqual(self.request("large", "add", words).count("x" * 100000), count)


class Locking(Sessions):
    locking = "On"

    def test_requests_of_one_session_wait_for_each_other(self):
        first = subprocess.Popen(self.command("shared", "slow", "first"),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(first.stdout.readline(), "holding\n")
        self.assertIn(b"VALUE memc.sess.key.lock.shared ", self.server.ask(
            b"get memc.sess.key.lock.shared\r\n", b"END\r\n"))
        second = self.request("shared", "add", "second",
                              **{"memcached.sess_lock_wait_min": "50",
                                 "memcached.sess_lock_wait_max": "100",
                                 "memcached.sess_lock_retries": "100"})
        self.assertEqual(first.communicate()[0], "list=first\n")
        self.assertEqual(first.returncode, 0)
        self.assertEqual(second, "list=first,second\n")

    def test_a_request_that_cannot_get_the_lock_gives_up(self):
        first = subprocess.Popen(self.command("held", "slow", "first"),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(first.stdout.readline(), "holding\n")
        done = support.run(self.command("held", "add", "second", **{
            "memcached.sess_lock_wait_min": "10", "memcached.sess_lock_wait_max": "10",
            "memcached.sess_lock_retries": "3"}))
        self.assertNotIn("list=first,second", done.stdout)
        first.communicate()


class SessionsOverText(Sessions, support.ServerCase):
    pass


class SessionsOverBinaryWithLocking(Locking, support.ServerCase):
    binary = "On"


class SessionsOverTextWithLocking(Locking, support.ServerCase):
    pass


class SessionsOverUnixSocketWithLocking(Locking, support.ServerCase):
    over_unix_socket = True
    binary = "On"


if __name__ == "__main__":
    support.main()
