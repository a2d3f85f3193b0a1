"""A send that fails in the middle of a reply leaves nothing of it to the worker's next client.

A library makes the k-th send fail, for each k of a reply, as when a client hangs up between two
sends: with EPIPE, with ECONNRESET, and after half of its bytes. The next client of the same worker
then asks, and must read its own reply alone.
"""

import random
import socket
import struct
import unittest

from faults import BROKEN_PIPE, HALF, RESET, FaultyServer, ask, read_all

VALUE_BYTES = 100_000
KEYS = 30  # 3 MB: more than the server gathers before it sends
SMALL_BYTES = 3_000
MODES = {"EPIPE": BROKEN_PIPE, "ECONNRESET": RESET, "half": HALF}
USERS = "larder:secret\n"
LOGIN = b"set auth 0 0 13\r\nlarder secret\r\n"


def binary(opcode, key=b"", opaque=7):
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, len(key), 0, 0, 0, len(key), opaque, 0) + key


def keys():
    return [b"secret%d" % i for i in range(KEYS)]


# What the client that hangs up asks for.
REQUESTS = {
    "text": b"get " + b" ".join(keys()) + b"\r\n",
    "text, long pipeline": b"".join(b"get %s\r\n" % key for key in keys() * 2),
    "meta": b"".join(b"mg %s v k\r\n" % key for key in keys()) + b"mn\r\n",
    "binary": b"".join(binary(0x0d, key) for key in keys()) + binary(0x0a),
    "small values": b"get " + b" ".join(b"small%d" % i for i in range(1000)) + b"\r\n",
    "stats": b"stats\r\nstats settings\r\nstats slabs\r\nstats items\r\n" * 20,
    "dump": b"lru_crawler metadump all\r\n",
    "mgdump": b"lru_crawler mgdump all\r\n",
    "watch": b"watch fetchers mutations connevents\r\n",
    "one short reply": b"version\r\n",
}


class SendFailures(unittest.TestCase):
    def start(self, *options, **how):
        server = FaultyServer("-m", "64", *options, **how)
        self.addCleanup(lambda: self.assertIsNone(server.stop()))
        self.login = LOGIN if how.get("users") else b""
        with server.connect() as client:
            if self.login:
                self.assertEqual(ask(client, self.login), b"STORED\r\n")
            for i, key in enumerate(keys()):
                value = (b"%s/" % key) * (VALUE_BYTES // (len(key) + 1) + 1)
                self.assertEqual(
                    ask(client, b"set %s 0 0 %d\r\n%s\r\n"
                        % (key, VALUE_BYTES, value[:VALUE_BYTES])), b"STORED\r\n")
            small = b"".join(b"set small%d 0 0 %d noreply\r\n%s\r\n" % (i, SMALL_BYTES, b"s" * SMALL_BYTES)
                             for i in range(1000))
            self.assertEqual(ask(client, small + b"mn\r\n"), b"MN\r\n")
        return server

    def check(self, server, names, encrypted=False):
        honest = b"MN\r\n" if not self.login else b"CLIENT_ERROR unauthenticated\r\n"
        foreign = []
        for name in names:
            for mode_name, mode in MODES.items():
                for k in range(1, 200):
                    victim = server.connect(encrypted)
                    # The victim's sends alone: what follows a handshake, and no honest client's.
                    server.faults.fail_send(mode, k)
                    with victim:
                        victim.settimeout(5)
                        try:
                            victim.sendall(self.login + REQUESTS[name])
                            read_reply(victim, name)
                        except OSError:
                            pass
                    failed = server.faults.stop()
                    for _ in range(2):
                        with server.connect() as client:
                            client.sendall(b"mn\r\n" if not self.login else b"get secret1\r\n")
                            client.shutdown(socket.SHUT_WR)
                            answer = read_all(client)
                        if answer != honest:
                            foreign.append((name, mode_name, k, len(answer), answer[:60]))
                    self.assertTrue(server.running(), (name, mode_name, k, server.printed()))
                    if failed == 0:
                        break
                else:
                    self.fail(f"{name}: the reply has no end")
                self.assertGreater(k, 1, name)
        self.assertEqual(foreign, [], "clients that were sent another client's bytes")
        self.assertEqual(server.figure("reply_buffer_not_empty", self.login), 0)

    def test_plain(self):
        self.check(self.start(), list(REQUESTS))

    def test_unix_socket(self):
        self.check(self.start(unix=True), ["text", "meta", "binary", "dump"])

    def test_tls(self):
        server = self.start(tls=True)
        self.check(server, ["text", "binary", "stats", "one short reply"], encrypted=True)

    def test_behind_a_password(self):
        self.check(self.start(users=USERS), ["text", "meta", "small values"])

    def test_datagrams(self):
        server = self.start("-l", "127.0.0.1", udp=True)
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(0.2)
        request = b"\0\1\0\0\0\1\0\0get secret1 secret2\r\n"
        for mode in (BROKEN_PIPE, RESET, HALF):
            for k in range(1, 20):
                server.faults.fail_send(mode, k)
                client.sendto(request, ("127.0.0.1", server.udp_port))
                drain(client)
                failed = server.faults.stop()
                client.sendto(b"\0\2\0\0\0\1\0\0mn\r\n", ("127.0.0.1", server.udp_port))
                self.assertEqual(drain(client), [b"\0\2\0\0\0\1\0\0MN\r\n"])
                with server.connect() as honest:
                    self.assertEqual(ask(honest, b"mn\r\n"), b"MN\r\n")
                if failed == 0:
                    break
            self.assertGreater(k, 1)

    def hang_ups(self, encrypted):
        """Real ones: closed, reset and half closed, at a random point of the reply."""
        server = self.start(tls=encrypted)
        draw = random.Random(17)
        foreign = 0
        names = [name for name in REQUESTS if name != "watch"]
        for _ in range(200):
            victim = server.connect(encrypted)
            name = draw.choice(names)
            victim.sendall(REQUESTS[name])
            try:
                if draw.random() < 0.5:
                    victim.recv(draw.choice((1, 1000, 100_000)))
                how = draw.choice(("close", "reset", "half"))
                if how == "half":
                    victim.shutdown(socket.SHUT_WR)
                if how == "reset":
                    victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            victim.close()
            for _ in range(4):
                with server.connect() as client:
                    client.sendall(b"mn\r\n")
                    client.shutdown(socket.SHUT_WR)
                    foreign += read_all(client) != b"MN\r\n"
        self.assertEqual(foreign, 0)
        self.assertEqual(server.figure("reply_buffer_not_empty"), 0)

    def test_200_hang_ups(self):
        self.hang_ups(encrypted=False)

    def test_200_hang_ups_over_tls(self):
        self.hang_ups(encrypted=True)


def drain(client):
    datagrams = []
    try:
        while True:
            datagrams.append(client.recv(65536))
            client.settimeout(0.02)
    except OSError:
        pass
    client.settimeout(0.2)
    return datagrams


ENDS = {
    "text": b"END\r\n", "small values": b"END\r\n", "meta": b"MN\r\n", "dump": b"END\r\n",
    "mgdump": b"EN\r\n", "watch": b"OK\r\n", "one short reply": b"\r\n",
}


def read_reply(client, name):
    """Reads until the reply ends or the server closes."""
    count = {"text, long pipeline": 2 * KEYS, "stats": 80}.get(name, 1)
    end = ENDS.get(name, b"END\r\n")
    tail = b""
    bytes_read = 0
    while True:
        more = client.recv(1 << 20)
        if not more:
            return False
        bytes_read += len(more)
        data = tail + more
        if name == "binary":
            if data.endswith(binary_noop()):
                return True
        else:
            count -= data.count(end) - tail.count(end)
            if count <= 0 and data.endswith(end):
                return True
        tail = data[-24:] if name == "binary" else data[-(len(end) - 1):]


def binary_noop():
    return struct.pack("!BBHBBHIIQ", 0x81, 0x0a, 0, 0, 0, 0, 0, 7, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
