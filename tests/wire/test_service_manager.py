"""Sockets that are handed over (LISTEN_FDS), and what a service manager hears (NOTIFY_SOCKET).

The test plays systemd: it opens sockets, starts the program that LARDERD names with them from
descriptor 3 on, and reads what it is told.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

LARDERD = os.path.abspath(os.environ["LARDERD"])
AS_USER = ["-u", "root"] if os.geteuid() == 0 else []
PATIENCE_SECONDS = 20

# Becomes the daemon: sockets in their places, and LISTEN_PID, which only the process itself knows.
STARTER = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
spare = [os.dup(fd) for fd in fds]
spare = [fd if fd > 2 + len(fds) else __import__("fcntl").fcntl(fd, 0, 100) for fd in spare]
for place, fd in enumerate(spare, 3):
    os.dup2(fd, place)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class ServiceManagerTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-wire-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def socket(self, family, kind, address, listens=True):
        own = socket.socket(family, kind)
        self.addCleanup(own.close)
        own.bind(address)
        if listens and kind == socket.SOCK_STREAM:
            own.listen(10)
        own.settimeout(PATIENCE_SECONDS)
        return own

    def tcp(self):
        return self.socket(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))

    def start(self, sockets, *options, **variables):
        fds = [own.fileno() for own in sockets]
        environment = dict(os.environ, **variables)
        if fds:
            environment["LISTEN_FDS"] = str(len(fds))
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, ",".join(map(str, fds)), LARDERD, *AS_USER, *options],
            pass_fds=fds, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def ask(self, own, request=b"mn\r\n", reply=b"MN\r\n"):
        """Of who listens on the socket."""
        with socket.socket(own.family, own.type) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(own.getsockname())
            if own.type == socket.SOCK_DGRAM:
                header = struct.pack(">HHHH", 77, 0, 1, 0)
                client.send(header + request)
                self.assertEqual(client.recv(2000), header + reply)
            else:
                client.sendall(request)
                self.assertEqual(client.recv(2000), reply)

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0, process.stderr.read())

    def assert_refused(self, process, sentence):
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, said), (71, "larderd: " + sentence + "\n"))

    # -- Sockets.

    def test_every_kind_of_socket_is_served_and_no_other(self):
        path = self.path("socket")
        sockets = [
            self.tcp(),
            self.socket(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            self.socket(socket.AF_UNIX, socket.SOCK_STREAM, path),
            self.socket(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        ]
        unused = self.path("unused")
        process = self.start(sockets, "-s", unused, "-p", "1", LISTEN_FDNAMES="a:b:c:d")
        for own in sockets:
            self.ask(own)
        self.assertFalse(os.path.exists(unused))
        self.end(process)
        self.assertTrue(os.path.exists(path), "the file belongs to whoever made it")

    def test_clients_that_came_before_the_server_are_served(self):
        own = self.tcp()
        with socket.create_connection(own.getsockname(), PATIENCE_SECONDS) as early:
            early.sendall(b"mn\r\n")
            process = self.start([own])
            self.assertEqual(early.recv(100), b"MN\r\n")
        self.end(process)

    def test_the_next_server_gets_the_same_socket(self):
        own = self.tcp()
        for _ in range(2):
            process = self.start([own])
            self.ask(own)
            self.end(process)

    def test_in_the_background_the_sockets_are_served_too(self):
        own = self.tcp()
        process = self.start([own], "-d", "-P", self.path("pid"))
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        with open(self.path("pid")) as file:
            pid = int(file.read())
        try:
            self.ask(own)
        finally:
            os.kill(pid, signal.SIGTERM)

    def test_sockets_of_another_process_are_not_taken(self):
        own = self.tcp()
        path = self.path("socket")
        notify = self.socket(socket.AF_UNIX, socket.SOCK_DGRAM, self.path("notify"))
        process = self.start([own], "-s", path, LISTEN_PID="1", NOTIFY_SOCKET=self.path("notify"))
        self.assertIn(b"READY=1", notify.recv(1000))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(path)
            client.sendall(b"mn\r\n")
            self.assertEqual(client.recv(100), b"MN\r\n")
        self.end(process)

    def test_sockets_that_cannot_be_served_are_named(self):
        deaf = self.socket(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0), listens=False)
        self.assert_refused(
            self.start([self.tcp(), deaf], LISTEN_FDNAMES="web:admin"),
            "descriptor 4 of LISTEN_FDS (admin): is a socket that does not listen")
        datagrams = self.socket(socket.AF_UNIX, socket.SOCK_DGRAM, self.path("datagrams"))
        self.assert_refused(
            self.start([datagrams]),
            "descriptor 3 of LISTEN_FDS: is neither a TCP, a UDP nor a unix stream socket")
        with open(os.devnull) as null:
            self.assert_refused(self.start([null]), "descriptor 3 of LISTEN_FDS: is no socket")
        self.assert_refused(
            self.start([], LISTEN_FDS="some"),
            "environment variable LISTEN_FDS: 'some' is no number")

    # -- Messages.

    def check_messages(self, address):
        bound = "\0" + address[1:] if address.startswith("@") else address
        manager = self.socket(socket.AF_UNIX, socket.SOCK_DGRAM, bound)
        own = self.tcp()
        process = self.start([own], NOTIFY_SOCKET=address)
        port = own.getsockname()[1]
        self.assertEqual(
            manager.recv(1000).decode().split("\n"),
            ["READY=1", f"STATUS=listening on tcp:127.0.0.1:{port}, 64 MiB, 4 threads",
             f"MAINPID={process.pid}"])
        self.ask(own)
        process.send_signal(signal.SIGHUP)
        self.assertRegex(manager.recv(1000), rb"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        self.assertIn(b"READY=1\n", manager.recv(1000))
        self.ask(own)
        self.end(process)
        self.assertEqual(manager.recv(1000), b"STOPPING=1\nSTATUS=stopping")

    def test_a_manager_at_a_path_hears_of_start_reload_and_stop(self):
        self.check_messages(self.path("notify"))

    def test_a_manager_at_an_abstract_name_hears_of_start_reload_and_stop(self):
        self.check_messages(f"@larder-test-{os.getpid()}")

    def test_a_manager_hears_of_the_stop_when_a_drain_begins_and_that_workers_live_until_it_ends(self):
        manager = self.socket(socket.AF_UNIX, socket.SOCK_DGRAM, self.path("notify"))
        own = self.tcp()
        # Nobody listens on port 1: a server drains also while it cannot reach etcd.
        process = self.start([own], "--cluster-etcd", "127.0.0.1:1", "--cluster-announce", "me:1",
                             "--cluster-drain", "600", NOTIFY_SOCKET=self.path("notify"),
                             WATCHDOG_USEC="200000")

        def next_message():
            message = b"WATCHDOG=1"
            while message == b"WATCHDOG=1":
                message = manager.recv(1000)
            return message

        self.assertIn(b"READY=1", next_message())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(next_message(), b"STOPPING=1\nSTATUS=stopping")
        for _ in range(5):
            self.assertEqual(manager.recv(1000), b"WATCHDOG=1")
        self.ask(own)
        process.send_signal(signal.SIGHUP)
        for _ in range(5):
            self.assertEqual(manager.recv(1000), b"WATCHDOG=1")
        self.ask(own)
        self.end(process)

    def test_a_manager_that_watches_hears_that_the_workers_are_alive(self):
        manager = self.socket(socket.AF_UNIX, socket.SOCK_DGRAM, self.path("notify"))
        process = self.start([self.tcp()], NOTIFY_SOCKET=self.path("notify"),
                             WATCHDOG_USEC="200000")
        self.assertIn(b"READY=1", manager.recv(1000))
        for _ in range(5):
            self.assertEqual(manager.recv(1000), b"WATCHDOG=1")
        self.end(process)

    def test_a_manager_that_is_gone_keeps_nobody_from_serving(self):
        own = self.tcp()
        process = self.start([own], NOTIFY_SOCKET=self.path("nobody"))
        self.ask(own)
        self.end(process)


if __name__ == "__main__":
    unittest.main()
