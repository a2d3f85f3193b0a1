"""Clients that say who they are: SASL (-S) with libmemcached from Python and PHP and with
python-binary-memcached, a set of user and password (-Y) with pymemcache.

And the whole matrix of what asks for credentials and what is offered, on plain sockets.
"""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import struct
import tempfile
import unittest

import support
from sasl_support import PASSWORD, REALM, SASL_USER, USER, QuietServer, SaslCase

pylibmc = support.need_module("pylibmc", "python3-pylibmc")
bmemcached = support.need_module("bmemcached", "python3-binary-memcached")
pymemcache = support.need_module("pymemcache", "python3-pymemcache")
PHP = support.need_program("php", "php-cli")
SCRIPTS = os.path.join(support.HERE, "scripts")

GET, SET, NOOP, VERSION, LIST, START, STEP = 0x00, 0x01, 0x0A, 0x0B, 0x20, 0x21, 0x22
OK, INVALID, FAILURE, CONTINUE, UNKNOWN = 0x00, 0x04, 0x20, 0x21, 0x81


class AuthFileCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="larder-users-")
        cls.addClassCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "users")
        with open(path, "w") as file:
            file.write(f"{USER}:{PASSWORD}\n")
        cls.server = QuietServer("-Y", path)

    @classmethod
    def tearDownClass(cls):
        complaint = cls.server.stop()
        if complaint:
            raise AssertionError(complaint)


# -- Bytes.

def packet(opcode, key=b"", value=b"", extras=b""):
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                       len(extras) + len(key) + len(value), 0, 0) + extras + key + value


def plain(user, password):
    return packet(START, b"PLAIN", b"\0" + user.encode() + b"\0" + password.encode())


def login(user, password):
    token = f"{user} {password}".encode()
    return b"set k 0 0 %d\r\n%s\r\n" % (len(token), token)


class Plain:
    """A socket; what is asked of it is bytes."""

    def __init__(self, server):
        self.socket = server.connect()
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()
        self.socket.close()

    def send(self, request):
        self.socket.sendall(request)

    def line(self, request):
        self.send(request)
        return self.stream.readline()

    def status(self, request):
        """Of the next binary reply, and its body; None at the end of the stream."""
        self.send(request)
        header = self.stream.read(24)
        if len(header) < 24:
            return None, b""
        _, _, _, _, _, status, body, _, _ = struct.unpack("!BBHBBHIIQ", header)
        return status, self.stream.read(body)

    def closed(self):
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True


# -- What is asked for (nothing, a set, SASL) against what is offered.

class Nothing(support.ServerCase):
    def test_everybody_is_in(self):
        with Plain(self.server) as client:
            self.assertEqual(client.line(b"get a\r\n"), b"END\r\n")
        with Plain(self.server) as client:
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_credentials_are_an_ordinary_value(self):
        with Plain(self.server) as client:
            self.assertEqual(client.line(login(USER, PASSWORD)), b"STORED\r\n")
            self.assertEqual(client.line(b"get k\r\n"), b"VALUE k 0 7\r\n")

    def test_sasl_is_unknown(self):
        with Plain(self.server) as client:
            for request in (packet(LIST), plain(SASL_USER, PASSWORD), packet(STEP, b"PLAIN")):
                self.assertEqual(client.status(request)[0], UNKNOWN)
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_garbage_is_an_error(self):
        with Plain(self.server) as client:
            self.assertEqual(client.line(b"\x01garbage\r\n"), b"ERROR\r\n")


class InText(AuthFileCase):
    def test_a_user_is_let_in(self):
        for request, reply in ((login(USER, PASSWORD), b"STORED\r\n"),
                               (b"ms k 7\r\nfoo bar\r\n", b"HD\r\n")):
            with Plain(self.server) as client:
                self.assertEqual(client.line(request), reply)
                self.assertEqual(client.line(b"get k\r\n"), b"END\r\n")

    def test_anybody_else_is_not(self):
        with Plain(self.server) as client:
            for user, password in ((USER, "baz"), ("fou", PASSWORD), (USER, ""), ("", "")):
                self.assertEqual(client.line(login(user, password)),
                                 b"CLIENT_ERROR authentication failure\r\n")
            self.assertEqual(client.line(b"get k\r\n"), b"CLIENT_ERROR unauthenticated\r\n")

    def test_neither_is_binary(self):
        with Plain(self.server) as client:
            self.assertEqual(client.line(plain(SASL_USER, PASSWORD) + b"\r\n"),
                             b"CLIENT_ERROR unauthenticated\r\n")

    def test_garbage_is_unauthenticated_or_the_end(self):
        with Plain(self.server) as client:
            self.assertEqual(client.line(b"\x01garbage\r\n"), b"CLIENT_ERROR unauthenticated\r\n")
        with Plain(self.server) as client:
            client.send(os.urandom(4096).replace(b"\n", b"\r"))
            self.assertTrue(client.closed())


class BySasl(SaslCase):
    def test_a_user_is_let_in(self):
        with Plain(self.server) as client:
            self.assertEqual(client.status(packet(LIST))[1].split(),
                             [b"PLAIN", b"CRAM-MD5", b"SCRAM-SHA-256"])
            self.assertEqual(client.status(plain(SASL_USER, PASSWORD)), (OK, b"Authenticated"))
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_anybody_else_is_not(self):
        for user, password in ((SASL_USER, "baz"), ("fou@" + REALM, PASSWORD),
                               (USER + "@elsewhere", PASSWORD), (SASL_USER, ""), ("", "")):
            with Plain(self.server) as client:
                self.assertEqual(client.status(plain(user, password))[0], FAILURE)
                self.assertEqual(client.status(packet(GET, b"k"))[0], FAILURE)
                self.assertTrue(client.closed())

    def test_neither_is_text(self):
        with Plain(self.server) as client:
            client.send(login(USER, PASSWORD))
            self.assertTrue(client.closed())

    def test_garbage_is_the_end(self):
        for garbage in (os.urandom(4096).replace(b"\x80", b"\x81"), b"\x80" + b"\xff" * 4096):
            with Plain(self.server) as client:
                client.send(garbage)
                client.socket.shutdown(socket.SHUT_WR)
                try:
                    self.assertLess(len(client.stream.read()), 60)
                except ConnectionResetError:
                    pass

    def test_cram_md5_in_two_steps(self):
        def answer(challenge, password):
            digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
            return f"{SASL_USER} {digest}".encode()

        with Plain(self.server) as client:
            status, challenge = client.status(packet(START, b"CRAM-MD5"))
            self.assertEqual(status, CONTINUE)
            self.assertEqual(
                client.status(packet(STEP, b"CRAM-MD5", answer(challenge, "baz")))[0], FAILURE)
            status, challenge = client.status(packet(START, b"CRAM-MD5"))
            self.assertEqual(
                client.status(packet(STEP, b"CRAM-MD5", answer(challenge, PASSWORD))),
                (OK, b"Authenticated"))
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_scram_sha_256_in_three_steps(self):
        with Plain(self.server) as client:
            first = f"n={SASL_USER.replace(',', '=2C')},r=abcdefgh"
            status, server_first = client.status(
                packet(START, b"SCRAM-SHA-256", b"n,," + first.encode()))
            self.assertEqual(status, CONTINUE)
            fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
            salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(fields["s"]),
                                         int(fields["i"]))
            without_proof = f"c=biws,r={fields['r']}"
            signed = f"{first},{server_first.decode()},{without_proof}".encode()
            client_key = hmac.digest(salted, b"Client Key", "sha256")
            signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
            proof = bytes(a ^ b for a, b in zip(client_key, signature))
            status, verifier = client.status(packet(
                STEP, b"SCRAM-SHA-256",
                f"{without_proof},p={base64.b64encode(proof).decode()}".encode()))
            server_key = hmac.digest(salted, b"Server Key", "sha256")
            expected = base64.b64encode(hmac.digest(server_key, signed, "sha256"))
            if status == CONTINUE:  # the server shows that it knows the password, too
                self.assertEqual(verifier, b"v=" + expected)
                status, _ = client.status(packet(STEP, b"SCRAM-SHA-256"))
            self.assertEqual(status, OK)
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))


# -- Libraries.

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
