"""The whole matrix of what a server asks for and what is offered, byte by byte: nothing, a set with
user and password (-Y) or SASL (-S), each over plain TCP and over TLS with certificates of clients,
against somebody who is allowed in, somebody who is not, and garbage.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import struct
import unittest

import support
from auth_support import (PASSWORD, REALM, SASL_USER, USER, AskingCase, AuthFileCase, OverMutualTls,
                          SaslCase, finish_sending)

GET, SET, NOOP, VERSION, LIST, START, STEP = 0x00, 0x01, 0x0A, 0x0B, 0x20, 0x21, 0x22
OK, INVALID, FAILURE, CONTINUE, UNKNOWN = 0x00, 0x04, 0x20, 0x21, 0x81


# -- Bytes.

def packet(opcode, key=b"", value=b"", extras=b""):
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                       len(extras) + len(key) + len(value), 0, 0) + extras + key + value


def plain(user, password):
    return packet(START, b"PLAIN", b"\0" + user.encode() + b"\0" + password.encode())


def login(user, password):
    token = f"{user} {password}".encode()
    return b"set k 0 0 %d\r\n%s\r\n" % (len(token), token)


class Client:
    """A connection; what is asked of it is bytes."""

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
        except OSError:  # reset, or TLS without its end
            return True


# -- What is asked for (nothing, a set, SASL) against what is offered.

class Nothing(AskingCase):
    def test_everybody_is_in(self):
        with Client(self.server) as client:
            self.assertEqual(client.line(b"get a\r\n"), b"END\r\n")
        with Client(self.server) as client:
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_credentials_are_an_ordinary_value(self):
        with Client(self.server) as client:
            self.assertEqual(client.line(login(USER, PASSWORD)), b"STORED\r\n")
            self.assertEqual(client.line(b"get k\r\n"), b"VALUE k 0 7\r\n")

    def test_sasl_is_unknown(self):
        with Client(self.server) as client:
            for request in (packet(LIST), plain(SASL_USER, PASSWORD), packet(STEP, b"PLAIN")):
                self.assertEqual(client.status(request)[0], UNKNOWN)
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_garbage_is_an_error(self):
        with Client(self.server) as client:
            self.assertEqual(client.line(b"\x01garbage\r\n"), b"ERROR\r\n")


class InText(AuthFileCase):
    def test_a_user_is_let_in(self):
        for request, reply in ((login(USER, PASSWORD), b"STORED\r\n"),
                               (b"ms k 7\r\nfoo bar\r\n", b"HD\r\n")):
            with Client(self.server) as client:
                self.assertEqual(client.line(request), reply)
                self.assertEqual(client.line(b"get k\r\n"), b"END\r\n")

    def test_anybody_else_is_not(self):
        with Client(self.server) as client:
            for user, password in ((USER, "baz"), ("fou", PASSWORD), (USER, ""), ("", "")):
                self.assertEqual(client.line(login(user, password)),
                                 b"CLIENT_ERROR authentication failure\r\n")
            self.assertEqual(client.line(b"get k\r\n"), b"CLIENT_ERROR unauthenticated\r\n")

    def test_neither_is_binary(self):
        with Client(self.server) as client:
            self.assertEqual(client.line(plain(SASL_USER, PASSWORD) + b"\r\n"),
                             b"CLIENT_ERROR unauthenticated\r\n")

    def test_garbage_is_unauthenticated_or_the_end(self):
        with Client(self.server) as client:
            self.assertEqual(client.line(b"\x01garbage\r\n"), b"CLIENT_ERROR unauthenticated\r\n")
        with Client(self.server) as client:
            client.send(os.urandom(4096).replace(b"\n", b"\r"))
            self.assertTrue(client.closed())


class InTextBesideSasl(InText):
    """-S beside -Y, which is for the binary protocol, and that is not spoken then."""

    @classmethod
    def start(cls, *options):
        return super().start("-S", *options)


class BySasl(SaslCase):
    def test_a_user_is_let_in(self):
        with Client(self.server) as client:
            self.assertEqual(client.status(packet(LIST))[1].split(),
                             [b"PLAIN", b"CRAM-MD5", b"SCRAM-SHA-256"])
            self.assertEqual(client.status(plain(SASL_USER, PASSWORD)), (OK, b"Authenticated"))
            self.assertEqual(client.status(packet(NOOP)), (OK, b""))

    def test_anybody_else_is_not(self):
        for user, password in ((SASL_USER, "baz"), ("fou@" + REALM, PASSWORD),
                               (USER + "@elsewhere", PASSWORD), (SASL_USER, ""), ("", "")):
            with Client(self.server) as client:
                self.assertEqual(client.status(plain(user, password))[0], FAILURE)
                self.assertEqual(client.status(packet(GET, b"k"))[0], FAILURE)
                self.assertTrue(client.closed())

    def test_neither_is_text(self):
        with Client(self.server) as client:
            client.send(login(USER, PASSWORD))
            self.assertTrue(client.closed())

    def test_garbage_is_the_end(self):
        for garbage in (os.urandom(4096).replace(b"\x80", b"\x81"), b"\x80" + b"\xff" * 4096):
            with Client(self.server) as client:
                client.send(garbage)
                finish_sending(client.socket)
                try:
                    self.assertLess(len(client.stream.read()), 60)
                except OSError:  # reset, or TLS without its end
                    pass

    def test_cram_md5_in_two_steps(self):
        def answer(challenge, password):
            digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
            return f"{SASL_USER} {digest}".encode()

        with Client(self.server) as client:
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
        with Client(self.server) as client:
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


# -- The same where a certificate has to be shown before anything is said.

class CertificatesAreAsked(OverMutualTls):
    REQUESTS = (b"get k\r\n", login(USER, PASSWORD), packet(NOOP), plain(SASL_USER, PASSWORD))

    def answer(self, connection, request):
        """What comes back, to the end or to the first bytes."""
        with connection:
            connection.sendall(request)
            return connection.recv(100)

    def test_without_one_of_the_authority_s_nothing_is_answered(self):
        for name in (None, "stranger"):
            for request in self.REQUESTS:
                got = b""
                with contextlib.suppress(OSError):  # the alert, or a reset
                    got = self.answer(self.server.connect(name), request)
                self.assertEqual(got, b"", (name, request))
        self.assertTrue(self.server.running())

    def test_what_is_no_tls_gets_an_alert_at_most(self):
        for request in (*self.REQUESTS, os.urandom(4096), b"\x16\x03\x01" + b"\xff" * 4096):
            got = b""
            with contextlib.suppress(OSError):
                got = self.answer(self.server.connect_plain(), request)
            self.assertIn(got[:1], (b"", b"\x15"), request)
        self.assertTrue(self.server.running())

    def test_who_is_inside_goes_on(self):
        with Client(self.server) as client:
            with contextlib.suppress(OSError):
                self.answer(self.server.connect(None), b"get k\r\n")
            self.enter(client)
            self.assertEqual(self.ask_for_nothing(client), self.NOTHING)


class NothingOverMutualTls(CertificatesAreAsked, Nothing):
    NOTHING = b"END\r\n"

    def enter(self, client):
        pass

    def ask_for_nothing(self, client):
        return client.line(b"get none\r\n")


class InTextOverMutualTls(CertificatesAreAsked, InText):
    NOTHING = b"END\r\n"

    def enter(self, client):
        self.assertEqual(client.line(login(USER, PASSWORD)), b"STORED\r\n")

    def ask_for_nothing(self, client):
        return client.line(b"get none\r\n")


class BySaslOverMutualTls(CertificatesAreAsked, BySasl):
    NOTHING = (OK, b"")

    def enter(self, client):
        self.assertEqual(client.status(plain(SASL_USER, PASSWORD))[0], OK)

    def ask_for_nothing(self, client):
        return client.status(packet(NOOP))


if __name__ == "__main__":
    support.main()
