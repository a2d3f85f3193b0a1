"""TLS from outside: how the real program starts with it, reloads on SIGHUP, and whom it serves.

LARDERD names the program. The certificates are made here, by the program openssl. What needs root is
only asked for as root.
"""

import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

LARDERD = os.path.abspath(os.environ["LARDERD"])
PATIENCE_SECONDS = 20


def wait_until(holds, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


class TlsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="larder-tls-")
        os.chmod(self.folder.name, 0o777)
        self.addCleanup(self.folder.cleanup)
        self.issue("first")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def issue(self, name):
        """A self-signed certificate and its key, which take the place of what was there."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "1", "-subj", "/CN=" + name,
             "-keyout", self.path("key"), "-out", self.path("certificate")],
            check=True, capture_output=True)
        os.chmod(self.path("key"), 0o600)

    def options(self, *more):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["-Z", "-o", f"ssl_chain_cert={self.path('certificate')},ssl_key={self.path('key')}",
                "-p", "-1", "-l", "127.0.0.1", *user, *more]

    def start(self, *more, cwd=None, options=None):
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.path("ports"))
        self.log = open(self.path("log"), "w+")
        self.addCleanup(self.log.close)
        process = subprocess.Popen([LARDERD, *(options or self.options(*more))], cwd=cwd,
                                   env=environment, stderr=self.log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(self.path("ports")), "the port file")
        with open(self.path("ports")) as file:
            self.port = int(file.readline().split()[-1])
        return process

    def said(self):
        with open(self.path("log")) as file:
            return file.read()

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        client = context.wrap_socket(plain)
        self.addCleanup(client.close)
        return client

    def certificate_name(self):
        """The name in the certificate that a new client is shown."""
        der = self.connect().getpeercert(binary_form=True)
        shown = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"],
                               input=der, check=True, capture_output=True)
        return shown.stdout.decode().strip().rsplit(" ", 1)[-1]

    def ask(self, client, request, end):
        client.sendall(request)
        got = b""
        while not got.endswith(end):
            more = client.recv(65536)
            self.assertNotEqual(more, b"", "the server closed after " + repr(got))
            got += more
        return got

    def test_python_and_openssl_are_served(self):
        self.start()
        value = os.urandom(900_000)
        client = self.connect()
        request = b"set k 0 0 %d\r\n%s\r\n" % (len(value), value)
        self.assertEqual(self.ask(client, request, b"\r\n"), b"STORED\r\n")
        reply = b"VALUE k 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        self.assertEqual(self.ask(client, b"get k\r\n", b"\r\nEND\r\n"), reply)
        ended = subprocess.run(
            ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{self.port}"],
            input=b"version\nquit\n", capture_output=True, timeout=PATIENCE_SECONDS)
        self.assertIn(b"VERSION 1.6.45\r\n", ended.stdout)

    def test_sighup_reads_the_certificates_again_and_drops_nobody(self):
        process = self.start()
        client = self.connect()
        self.assertEqual(self.certificate_name(), "first")
        self.issue("second")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.certificate_name() == "second", "the new certificate")

        with open(self.path("certificate"), "w") as file:
            file.write("no certificate\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Could not reload TLS certificates on SIGHUP: "
                           "Error loading the certificate chain: " in self.said(), "a complaint")
        self.assertEqual(self.certificate_name(), "second")
        self.assertEqual(self.ask(client, b"get none\r\n", b"\r\n"), b"END\r\n")
        self.assertIsNone(process.poll())

    def test_sighup_without_tls_does_nothing(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        process = self.start(options=["-p", "-1", "-l", "127.0.0.1", *user])
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        self.addCleanup(client.close)
        for _ in range(2):
            self.assertEqual(self.ask(client, b"version\r\n", b"\r\n"), b"VERSION 1.6.45\r\n")
            process.send_signal(signal.SIGHUP)

    def test_in_the_background_relative_paths_can_be_read_again(self):
        pid_file = self.path("pid")
        options = ["-Z", "-o", "ssl_chain_cert=certificate,ssl_key=key", "-p", "-1", "-l",
                   "127.0.0.1", "-d", "-P", pid_file]
        if os.geteuid() == 0:
            options += ["-u", "root"]
        self.start(options=options, cwd=self.folder.name)
        wait_until(lambda: os.path.exists(pid_file), "the pid file")
        with open(pid_file) as file:
            pid = int(file.read())
        self.addCleanup(os.kill, pid, signal.SIGTERM)
        self.issue("second")
        self.assertEqual(self.ask(self.connect(), b"refresh_certs\r\n", b"\r\n"), b"OK\r\n")
        self.assertEqual(self.certificate_name(), "second")

    def test_root_s_key_is_read_before_root_is_given_up(self):
        if os.geteuid() != 0:
            return  # nobody else can become somebody else
        options = self.options()
        options[options.index("-u") + 1] = "nobody"
        self.start(options=options)
        client = self.connect()
        self.assertEqual(self.ask(client, b"version\r\n", b"\r\n"), b"VERSION 1.6.45\r\n")
        self.assertIn(b"Error loading the key: ", self.ask(client, b"refresh_certs\r\n", b"\r\n"))
        self.assertEqual(self.certificate_name(), "first")

    def refused(self, options, exit_code, sentence):
        ended = subprocess.run([LARDERD, *options], capture_output=True, text=True,
                               timeout=PATIENCE_SECONDS)
        self.assertEqual((ended.returncode, ended.stderr), (exit_code, f"larderd: {sentence}\n"))

    def test_what_cannot_work_is_refused_in_a_sentence(self):
        self.refused(["-Z"], 64, "option -Z: no certificate was given (-o ssl_chain_cert)")
        with open(self.path("key"), "w") as file:
            file.write("no key\n")
        ended = subprocess.run([LARDERD, *self.options()], capture_output=True, text=True,
                               timeout=PATIENCE_SECONDS)
        self.assertEqual(ended.returncode, 64)
        self.assertIn("Error loading the key: " + self.path("key"), ended.stderr)
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self.refused(["-l", "notls:127.0.0.1", "-p", "-1", *user], 71,
                     "cannot listen on -l notls:127.0.0.1: 'notls' option is valid only when SSL "
                     "is enabled (-Z)")


if __name__ == "__main__":
    unittest.main()
