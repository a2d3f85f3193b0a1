"""Memory that cannot be had costs one connection, and nothing else.

A library makes the n-th allocation of a running server fail, for n = 1, 2, ... until a run has no
failure. Whatever the client meets then, the server goes on, and the next client is served. For
builds with glibc's allocator.
"""

import signal
import socket
import time
import unittest

from faults import FaultyServer, ask, read_all

MOST = 2000
VALUE = b"v" * 1000
USERS = "larder:secret\n"
LOGIN = b"set auth 0 0 13\r\nlarder secret\r\n"


def talk(server, request, end=b"END\r\n", encrypted=False):
    """Sends a request and reads until `end` or the connection's end, whichever comes."""
    try:
        with server.connect(encrypted) as client:
            client.settimeout(5)
            ask(client, request, end)
    except OSError:
        pass  # it is the one that was lost


def set_line(key, value):
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)


class AllocationFailures(unittest.TestCase):
    def start(self, *options, **how):
        self.server = FaultyServer("-m", "64", *options, **how)
        self.addCleanup(lambda: self.assertIsNone(self.server.stop()))
        self.login = LOGIN if how.get("users") else b""
        with self.server.connect() as client:
            if self.login:
                self.assertEqual(ask(client, self.login), b"STORED\r\n")
            for i in range(50):
                self.assertEqual(ask(client, set_line(b"k%d" % i, VALUE)), b"STORED\r\n")
            self.assertEqual(ask(client, set_line(b"large", b"l" * 1_000_000)), b"STORED\r\n")
        return self.server

    def for_each_allocation(self, name, act):
        """Runs act() with the n-th allocation failing, for each n. Returns how many there were."""
        for n in range(1, MOST + 1):
            self.server.faults.fail_allocation(n)
            act()
            failed = self.server.faults.stop()
            self.assertTrue(self.server.running(), f"{name}, allocation {n}: "
                            f"ended with {self.server.process.returncode}\n{self.server.printed()}")
            with self.server.connect() as honest:
                expected = (b"STORED\r\n" if self.login else b"") + b"VALUE k1 0 1000\r\n%s\r\nEND\r\n" % VALUE
                answer = ask(honest, self.login + b"get k1\r\n", b"END\r\n")
                self.assertEqual(answer, expected, f"{name}, allocation {n}")
            if failed == 0:
                return n - 1
        return MOST

    def check(self, name, act):
        failures = self.for_each_allocation(name, act)
        self.assertGreater(failures, 0, name + " allocates nothing: the test tests nothing")

    def test_requests(self):
        server = self.start("-U", "0")
        keys = b" ".join(b"k%d" % i for i in range(50))
        million = b"m" * 1_000_000
        self.check("connect and get of 50", lambda: talk(server, b"get " + keys + b"\r\n"))
        self.check("set of 1 MB", lambda: talk(server, set_line(b"m", million), b"\r\n"))
        self.check("get of 1 MB, not read", lambda: self.leave_unread(b"get large large large large large\r\n"))
        self.wait_for_figure("held_items", 0)  # a hold that fails halfway holds nothing
        self.check("torn set", lambda: self.send_torn(set_line(b"t", VALUE)))
        self.check("torn set of 100 KB", lambda: self.send_torn(set_line(b"t", b"t" * 100_000)))
        self.check("pipeline", lambda: talk(
            server, b"".join(set_line(b"p%d" % i, VALUE) + b"get p%d\r\n" % i for i in range(200))
            + b"append p1 0 0 3\r\nabc\r\nincr none 1\r\nms q S3 b I\r\nabc\r\nmn\r\n", b"MN\r\n"))
        self.check("stats conns", lambda: talk(server, b"stats conns\r\n"))
        self.check("stats", lambda: talk(
            server, b"stats\r\nstats settings\r\nstats slabs\r\nstats items\r\nstats larder\r\nmn\r\n",
            b"MN\r\n"))
        self.check("dump", lambda: talk(server, b"lru_crawler metadump all\r\n"))
        self.check("watch", lambda: talk(server, b"watch fetchers mutations\r\n", b"OK\r\n"))
        self.check("flush and limit", lambda: talk(
            server, b"cache_memlimit 128\r\ncache_memlimit 64\r\nmn\r\n", b"MN\r\n"))

    def wait_for_figure(self, name, value):
        end = time.monotonic() + 20
        while self.server.figure(name) != value and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(self.server.figure(name), value)

    def test_datagrams(self):
        server = self.start(udp=True)

        def send(request):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.1)
                client.sendto(b"\0\1\0\0\0\1\0\0" + request, ("127.0.0.1", server.udp_port))
                try:
                    client.recv(65536)
                except OSError:
                    pass  # what is lost is lost
        keys = b" ".join(b"k%d" % i for i in range(50))
        for request in (b"get " + keys + b"\r\n", b"stats\r\n", b"stats conns\r\n"):
            self.check(request[:20].decode(), lambda: send(request))

    def leave_unread(self, request):
        try:
            with self.server.connect() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sendall(request)
                client.recv(1000)
        except OSError:
            pass

    def send_torn(self, request):
        """In four pieces, each answered by a request of another client before the next."""
        try:
            with self.server.connect() as client, self.server.connect() as other:
                client.settimeout(5)
                other.settimeout(5)
                step = len(request) // 4 + 1
                for at in range(0, len(request), step):
                    client.sendall(request[at:at + step])
                    ask(other, b"mn\r\n")
                ask(client, b"mn\r\n", b"MN\r\n")
        except OSError:
            pass

    def test_eviction(self):
        """Stores into a full cache, of sizes that shift."""
        server = self.start("-m", "2")
        size = [100]

        def act():
            size[0] = 100 + size[0] * 7 % 3000
            talk(server, b"".join(set_line(b"e%d" % i, b"e" * size[0]) for i in range(300)) + b"mn\r\n",
                 b"MN\r\n")
        with server.connect() as client:
            self.assertEqual(ask(client, b"".join(
                b"set f%d 0 0 1000 noreply\r\n%s\r\n" % (i, VALUE) for i in range(3000)) + b"mn\r\n"), b"MN\r\n")
            self.assertEqual(ask(client, set_line(b"k1", VALUE)), b"STORED\r\n")
        for n in range(1, 60):
            server.faults.fail_allocation(n)
            act()
            server.faults.stop()
            self.assertTrue(server.running(), f"allocation {n}: {server.printed()}")
            with server.connect() as honest:
                self.assertEqual(ask(honest, b"mn\r\n"), b"MN\r\n")

    def test_password(self):
        server = self.start(users=USERS)
        self.check("-Y", lambda: talk(server, LOGIN + b"get k1\r\n"))
        self.check("-Y, torn", lambda: self.send_torn(LOGIN + b"get k1\r\n"))

        def reload():
            server.process.send_signal(signal.SIGHUP)
            talk(server, LOGIN + b"mn\r\n", b"MN\r\n")
        self.for_each_allocation("SIGHUP", reload)

    def test_tls(self):
        server = self.start(tls=True)
        self.check("TLS", lambda: talk(server, b"get k1 k2 large\r\n", encrypted=True))

        def speak_plainly():
            try:
                with socket.create_connection(("127.0.0.1", server.port), 5) as client:
                    client.sendall(b"get k1\r\n" * 10)
                    read_all(client)
            except OSError:
                pass
        self.check("no TLS", speak_plainly)

        def reload():
            server.process.send_signal(signal.SIGHUP)
            talk(server, b"mn\r\n", b"MN\r\n", encrypted=True)
        self.for_each_allocation("SIGHUP", reload)

    def test_http(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.start("--http", f"127.0.0.1:{port}")

        def scrape():
            for path in (b"/metrics", b"/stats.json"):
                try:
                    with socket.create_connection(("127.0.0.1", port), 5) as client:
                        client.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
                        read_all(client)
                except OSError:
                    pass
        self.check("HTTP", scrape)


if __name__ == "__main__":
    unittest.main(verbosity=2)
