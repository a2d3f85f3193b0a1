"""docs/sessions.md: PHP sessions in a server of their own, which is restarted."""

import concurrent.futures
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import guide
import support
import web

support.need_program("memcstat", "libmemcached-tools")
if support.run([web.PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")

CROWD = 20
FLOOD = 100_000  # of 1000 bytes: more than -m 64 holds

SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {folder}$uri;
        fastcgi_pass unix:{folder}/php.sock;
    }}
}}
"""

# A request that holds its session while there is a file `hold`.
SLOW = """<?php
session_start();
$_SESSION['cart'][] = 'slow';
touch(__DIR__ . '/holding');
while (file_exists(__DIR__ . '/hold')) {
    usleep(5000);
    clearstatcache();
}
"""


class Shop(unittest.TestCase):
    """The server as the guide starts it, a site, and one visitor.

    instead  further replacements in the guide
    """

    instead = {}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-guide-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.server_port = support.free_port()
        # On a file system in memory, and where any user gets to.
        shared = tempfile.mkdtemp(prefix="larder-guide-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, shared)
        os.chmod(shared, 0o755)
        self.run_folder = os.path.join(shared, "run")
        user = "www-data" if web.ROOT else web.USER
        self.guide = guide.Guide("sessions.md", {
            "larderd -d": shlex.join(support.server_command()) + " -d",
            "-u www-data": f"-u {user}",
            "-o www-data": f"-o {user}",
            "-p 11212": f"-p {self.server_port}",
            "127.0.0.1:11212": f"127.0.0.1:{self.server_port}",
            "/run/larder-sessions": self.run_folder,
            **self.instead})
        self.run_in_background("start.sh")
        self.addCleanup(self.stop)
        self.guide.write(self.folder, "90-sessions.ini", "cart.php")
        port = support.free_port()
        self.write("shop.conf", SITE.format(port=port, folder=self.folder))
        self.write("slow.php", SLOW)
        # An empty word in it stands for the folder that PHP reads anyway.
        self.site = web.Site(self.addCleanup, self.folder, port, CROWD + 2,
                             dict(os.environ, PHP_INI_SCAN_DIR=f":{self.folder}"))
        self.cookie = None
        support.wait_until(lambda: self.site.ask("/cart.php").status == 200, "a page of the site")
        self.crowd = concurrent.futures.ThreadPoolExecutor(CROWD)
        self.addCleanup(self.crowd.shutdown)
        self.addCleanup(self.remove, os.path.join(self.folder, "hold"))

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(content)

    @staticmethod
    def remove(path):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)

    def run_in_background(self, block):
        """What it leaves running has its output in a file, or we would wait for its end."""
        with open(os.path.join(self.folder, "log"), "a") as log:
            code = subprocess.run(["bash", "-euc", self.guide.text(block)],
                                          stdout=log, stderr=log, timeout=60).returncode
        with open(os.path.join(self.folder, "log")) as log:
            self.assertEqual(code, 0, log.read())

    def server_pid(self):
        with open(os.path.join(self.run_folder, "pid")) as file:
            return int(file.read())

    def stop(self):
        os.kill(self.server_pid(), signal.SIGTERM)
        support.wait_until(lambda: not os.path.exists(f"{self.run_folder}/pid"), "the end of the server")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.server_port), 10)

    def tell(self, request, end=b"\r\n"):
        """What the server answers."""
        with self.connect() as plain:
            plain.sendall(request)
            answer = b""
            while not answer.endswith(end):
                answer += plain.recv(65536)
            return answer

    def ask(self, path):
        """A request of the visitor, who keeps his cookie."""
        answer = self.site.ask(path, **({"Cookie": self.cookie} if self.cookie else {}))
        given = re.match(r"PHPSESSID=[^;]+", answer.getheader("Set-Cookie") or "")
        if given:
            self.cookie = given.group()
        return answer.body

    def item(self):
        return "memc.sess.key." + self.cookie.split("=")[1]


class Sessions(Shop):
    def test_every_block_of_the_guide_is_used(self):
        self.guide.run("look.sh")
        self.run_in_background("restart.sh")
        self.assertIsNone(self.guide.complaint())

    def test_a_cart_lives_from_request_to_request_and_as_long_as_the_guide_says(self):
        self.assertEqual([self.ask(f"/cart.php?add={name}") for name in "ab"], ["a", "a,b"])
        self.assertEqual(self.ask("/cart.php"), "a,b")
        self.assertIn(support.seconds_left(self.tell(f"mg {self.item()} t\r\n".encode())),
                      range(7190, 7201))

    def test_a_cart_outlives_a_restart(self):
        self.ask("/cart.php?add=a")
        before = self.server_pid()
        self.run_in_background("restart.sh")
        self.assertNotEqual(self.server_pid(), before)
        self.assertEqual(self.ask("/cart.php?add=b"), "a,b")

    def test_requests_of_one_visitor_at_the_same_time_lose_nothing(self):
        self.ask("/cart.php?add=first")
        list(self.crowd.map(lambda number: self.ask(f"/cart.php?add={number}"), range(CROWD)))
        self.assertEqual(set(self.ask("/cart.php").split(",")), {"first", *map(str, range(CROWD))})

    def test_a_request_waits_for_the_one_that_has_the_session(self):
        self.ask("/cart.php?add=first")
        self.write("hold", "")
        slow = self.crowd.submit(self.ask, "/slow.php")
        support.wait_until(lambda: os.path.exists(f"{self.folder}/holding"), "the slow request")
        lock = self.item().replace("memc.sess.key.", "memc.sess.key.lock.")
        self.assertIn(support.seconds_left(self.tell(f"mg {lock} t\r\n".encode())), range(50, 61))
        second = self.crowd.submit(self.ask, "/cart.php?add=second")
        self.assertEqual(concurrent.futures.wait([second], 0.5).done, set())
        self.remove(f"{self.folder}/hold")
        self.assertEqual(second.result(), "first,slow,second")
        self.assertEqual(slow.result(), "")
        self.assertEqual(self.tell(f"mg {lock}\r\n".encode()), b"EN\r\n")

    def test_an_invented_id_is_replaced(self):
        self.cookie = "PHPSESSID=invented"
        self.ask("/cart.php?add=a")
        self.assertNotEqual(self.cookie, "PHPSESSID=invented")
        self.assertEqual(self.ask("/cart.php"), "a")

    def fill(self, cart):
        """More sessions of visitors who come once than there is room for, a cart in use among them."""
        value = b"x" * 1000
        with self.connect() as plain:
            stream = plain.makefile("rb")
            for start in range(0, FLOOD, FLOOD // 50):
                plain.sendall(b"".join(
                    b"ms memc.sess.key.once-%d %d q T7200\r\n%s\r\n" % (number, len(value), value)
                    for number in range(start, start + FLOOD // 50)) + b"mn\r\n")
                self.assertEqual(stream.readline(), b"MN\r\n")
                self.assertEqual(self.ask("/cart.php"), cart)

    def test_when_memory_is_full_a_cart_in_use_stays_and_new_visitors_get_one(self):
        # Of the usual size: what is in a class of its own goes with its page.
        cart = "a" * 900
        self.ask(f"/cart.php?add={cart}")
        self.fill(cart)
        stats = dict(re.findall(r"(\S+): (\d+)", self.guide.run("look.sh")))
        self.assertGreater(int(stats["evictions"]), 0)
        self.cookie = None
        self.assertEqual([self.ask(f"/cart.php?add={name}") for name in "yz"], ["y", "y,z"])


class WithoutLocking(Shop):
    instead = {"sess_locking = On": "sess_locking = Off"}

    def test_the_later_of_two_requests_undoes_what_the_earlier_did(self):
        self.ask("/cart.php?add=first")
        self.write("hold", "")
        slow = self.crowd.submit(self.ask, "/slow.php")
        support.wait_until(lambda: os.path.exists(f"{self.folder}/holding"), "the slow request")
        self.assertEqual(self.ask("/cart.php?add=second"), "first,second")
        self.remove(f"{self.folder}/hold")
        slow.result()
        self.assertEqual(self.ask("/cart.php"), "first,slow")


class WithoutEvictions(Shop):
    """What the guide warns of."""

    instead = {"-m 64 ": "-m 64 -M ", "sess_lock_retries = 100": "sess_lock_retries = 3"}

    def test_with_memory_full_it_shuts_out_every_visitor(self):
        self.assertEqual(self.ask("/cart.php?add=a"), "a")
        with self.connect() as plain:
            stream = plain.makefile("rb")
            for length in (100_000, 10_000, 1000, 100, 10, 1):
                answer = b"HD\r\n"
                number = 0
                while answer == b"HD\r\n":
                    number += 1
                    plain.sendall(b"ms fill-%d-%d %d\r\n%s\r\n" % (
                        length, number, length, b"x" * length))
                    answer = stream.readline()
                self.assertIn(b"SERVER_ERROR", answer)
        self.assertIn("busy", self.ask("/cart.php"))


if __name__ == "__main__":
    support.main()
