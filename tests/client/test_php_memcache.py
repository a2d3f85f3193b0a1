"""PHP's memcache extension (not memcached): its API over text and binary, and its sessions."""

import os
import time

import support

PHP = support.need_program("php", "php-cli")
SCRIPTS = os.path.join(support.HERE, "scripts")

if support.run([PHP, "-r", "exit(extension_loaded('memcache') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcache; install the package php-memcache")


class PhpMemcache:
    def api(self, protocol):
        place = [f"unix://{self.server.path}", 0] if self.server.path else [
            "127.0.0.1", self.server.port]
        self.run_script(PHP, "-d", f"memcache.protocol={protocol}",
                        os.path.join(SCRIPTS, "php_memcache.php"), *place)

    def test_the_api_over_text(self):
        self.api("ascii")

    def test_the_api_over_binary(self):
        self.api("binary")

    def request(self, *arguments, protocol="ascii", lifetime=100):
        path = (f"unix://{self.server.path}:0" if self.server.path
                else f"tcp://{self.server.address}")
        done = support.run([
            PHP, "-d", "session.save_handler=memcache", "-d", f"session.save_path={path}",
            "-d", "session.use_cookies=0", "-d", "session.cache_limiter=",
            "-d", f"session.gc_maxlifetime={lifetime}", "-d", f"memcache.protocol={protocol}",
            os.path.join(SCRIPTS, "session.php"), *arguments])
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_a_session_lives_from_request_to_request(self):
        for protocol in ("ascii", "binary"):
            name = f"first{protocol}"
            self.assertEqual(self.request(name, "add", "a", protocol=protocol), "list=a\n")
            self.assertEqual(self.request(name, "add", "b", protocol=protocol), "list=a,b\n")
            self.assertEqual(self.request(f"other{name}", "add", "z"), "list=z\n")
            self.assertEqual(self.request(name, "destroy", protocol=protocol), "list=a,b\n")
            self.assertEqual(self.request(name, "add", "c", protocol=protocol), "list=c\n")

    def test_a_session_expires(self):
        self.request("short", "add", "a", lifetime=1)
        time.sleep(2.1)
        self.assertEqual(self.request("short", "add", "b"), "list=b\n")


class OverTcp(PhpMemcache, support.ScriptCase):
    pass


class OverUnixSocket(PhpMemcache, support.ScriptCase):
    over_unix_socket = True


if __name__ == "__main__":
    support.main()
