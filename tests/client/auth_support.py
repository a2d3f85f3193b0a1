"""Servers that ask who a client is: by SASL (-S) with a user database of their own, by a file of users
(-Y), and by certificates (TLS with ssl_verify_mode=2)."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import support

OPENSSL = support.need_program("openssl", "openssl")
SASLPASSWD = support.need_program("saslpasswd2", "sasl2-bin")

USER, REALM, PASSWORD = "foo", "larder.test", "bar"
SASL_USER = f"{USER}@{REALM}"


class QuietServer(support.Server):
    """A server that answers strangers nothing by which one could tell that it is there."""

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + support.START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.running():
            with contextlib.suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.02)
        raise AssertionError(f"it did not answer; it printed:\n{self.output()}")


class AskingCase(unittest.TestCase):
    """One server that asks, for all tests of a class."""

    options = ()

    @classmethod
    def start(cls, *options):
        """Where a class has its server from; what serves over TLS says so here."""
        return QuietServer(*options)

    @classmethod
    def setUpClass(cls):
        cls.server = cls.start(*cls.options)

    @classmethod
    def tearDownClass(cls):
        complaint = cls.server.stop()
        if complaint:
            raise AssertionError(complaint)


class AuthFileCase(AskingCase):
    """Asks for a line of a file of users."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="larder-users-")
        cls.addClassCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "users")
        with open(path, "w") as file:
            file.write(f"{USER}:{PASSWORD}\n")
        cls.server = cls.start("-Y", path)


class SaslCase(AskingCase):
    """Asks by SASL, with a database of one user."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="larder-sasl-")
        cls.addClassCleanup(shutil.rmtree, folder)
        database = os.path.join(folder, "sasldb")
        with open(os.path.join(folder, "memcached.conf"), "w") as file:
            file.write("mech_list: plain cram-md5 scram-sha-256\nsasldb_path: " + database + "\n")
        subprocess.run([SASLPASSWD, "-a", "memcached", "-u", REALM, "-c", "-p", "-f", database, USER],
                       input=PASSWORD + "\n", text=True, check=True)
        before = os.environ.get("SASL_CONF_PATH")
        os.environ["SASL_CONF_PATH"] = folder
        try:
            cls.server = cls.start("-S")
        finally:
            if before is None:
                del os.environ["SASL_CONF_PATH"]
            else:
                os.environ["SASL_CONF_PATH"] = before


class Certificates:
    """An authority's certificate, one of the server and one of a client that it has signed, and one of
    a stranger that somebody else has: NAME.pem and NAME.key in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self._sign_itself("ca")
        self._sign_itself("elsewhere")
        for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "elsewhere")):
            self._sign(name, authority)

    def path(self, name):
        return os.path.join(self.folder, name)

    def server_options(self):
        return ["-Z", "-o", f"ssl_chain_cert={self.path('server.pem')},ssl_key={self.path('server.key')},"
                            f"ssl_ca_cert={self.path('ca.pem')},ssl_verify_mode=2"]

    def context(self, name):
        """Of a client with that certificate, or with none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.path("ca.pem"))
        if name:
            context.load_cert_chain(self.path(name + ".pem"), self.path(name + ".key"))
        return context

    def _openssl(self, *words):
        done = support.run([OPENSSL, *words], cwd=self.folder)
        if done.returncode != 0:
            raise AssertionError(done.stdout)

    def _new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                name + ".key", "-subj", "/CN=" + name]

    def _sign_itself(self, name):
        self._openssl("req", "-x509", "-days", "1", *self._new_key(name), "-out", name + ".pem")

    def _sign(self, name, authority):
        self._openssl("req", *self._new_key(name), "-out", name + ".csr")
        self._openssl("x509", "-req", "-days", "1", "-in", name + ".csr", "-CA", authority + ".pem",
                      "-CAkey", authority + ".key", "-CAcreateserial", "-out", name + ".pem")


class MutualTlsServer(QuietServer):
    """Lets in only whom its authority has signed; connect() comes with the client's certificate."""

    def __init__(self, certificates, *options):
        self.certificates = certificates
        super().__init__(*options, *certificates.server_options())

    def connect(self, name="client"):
        plain = super().connect()
        try:
            return self.certificates.context(name).wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def connect_plain(self):
        return super().connect()


class OverMutualTls:
    """Turns an AskingCase into one whose server wants to see certificates, too."""

    @classmethod
    def start(cls, *options):
        folder = tempfile.mkdtemp(prefix="larder-certificates-")
        cls.addClassCleanup(shutil.rmtree, folder)
        return MutualTlsServer(Certificates(folder), *options)


def finish_sending(connection):
    """The peer reads the end of the stream; of TLS, too, of which Python would forget the rest."""
    socket.socket.shutdown(connection, socket.SHUT_WR)
