"""A worker that the system holds up while it sends a reply, and what the clients of others notice.

LARDERD names the program, STALLING_SEND the library that holds a send up for as long as a file is
there (tests/preload/stalling_send.cc).
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

LARDERD = os.path.abspath(os.environ["LARDERD"])
STALLING_SEND = os.path.abspath(os.environ["STALLING_SEND"])
PATIENCE_SECONDS = 60
MARK = b"larder-stall"  # a reply with this word in it is held up


class Client:
    def __init__(self, path):
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE_SECONDS)
            if self.socket.connect_ex(path) == 0:
                break
            self.socket.close()
            if time.monotonic() > end:
                raise AssertionError("the server does not accept")
            time.sleep(0.01)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def line(self, request):
        self.socket.sendall(request)
        return self.file.readline()

    def store(self, first, count, value):
        """Pipelined; how many of them were stored."""
        request = b"".join(b"set key%d 0 0 %d\r\n%s\r\n" % (n, len(value), value)
                           for n in range(first, first + count))
        self.socket.sendall(request)
        return sum(self.file.readline() == b"STORED\r\n" for _ in range(count))

    def figures(self):
        rows = {}
        self.socket.sendall(b"stats larder\r\n")
        while (line := self.file.readline()) != b"END\r\n":
            _, name, value = line.split()
            rows[name.decode()] = value.decode()
        return rows


class StallTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-stall-")
        os.chmod(self.folder, 0o777)
        self.stall = os.path.join(self.folder, "stall")
        self.path = os.path.join(self.folder, "socket")
        environment = dict(os.environ, LD_PRELOAD=STALLING_SEND, LARDER_STALL_FILE=self.stall)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self.server = subprocess.Popen(
            [LARDERD, "-s", self.path, "-t", "2", "-m", "64", *user], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.clients = []

    def tearDown(self):
        self.end_stall()
        for client in self.clients:
            client.close()
        self.server.terminate()
        self.server.wait(PATIENCE_SECONDS)
        shutil.rmtree(self.folder)

    def end_stall(self):
        if os.path.exists(self.stall):
            os.unlink(self.stall)

    def wait_for_stall(self):
        end = time.monotonic() + PATIENCE_SECONDS
        while not os.path.exists(self.stall + ".held"):
            self.assertLess(time.monotonic(), end, "nothing was held up")
            time.sleep(0.01)

    def connect(self):
        """Clients come to the two workers in turn."""
        self.clients.append(Client(self.path))
        return self.clients[-1]

    def test_a_worker_held_up_in_sending_a_copy_keeps_no_memory_from_the_others(self):
        storing, held = self.connect(), self.connect()
        value = b"x" * 1000
        for first in range(0, 72_000, 1000):
            self.assertEqual(storing.store(first, 1000, value), 1000)
        self.assertEqual(storing.line(b"set stall 0 0 %d\r\n%s\r\n" % (len(MARK), MARK)),
                         b"STORED\r\n")
        with open(self.stall, "w", encoding="ascii"):
            pass
        held.socket.sendall(b"get stall\r\n")
        self.wait_for_stall()
        stored = 0
        for first in range(100_000, 120_000, 10):
            stored += storing.store(first, 10, value)
            if stored != first - 100_000 + 10:
                break
        self.assertEqual(stored, 20_000)
        figures = storing.figures()
        self.assertEqual(figures["rests_for_readers"], "0")
        self.assertLess(int(figures["overdraft_peak_bytes"]), 2 << 20)
        self.end_stall()
        self.assertEqual(held.file.readline(), b"VALUE stall 0 %d\r\n" % len(MARK))


if __name__ == "__main__":
    unittest.main()
