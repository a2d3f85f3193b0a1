"""A larderd whose calls fail when a test says so, and clients that tell whose bytes they get.

LARDERD names the program, LARDER_FAULTS_LIBRARY the library of tests/preload/faults.cc.
"""

import mmap
import os
import pwd
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time

LARDERD = os.path.abspath(os.environ["LARDERD"])
LIBRARY = os.path.abspath(os.environ["LARDER_FAULTS_LIBRARY"])
PATIENCE_SECONDS = 20

BROKEN_PIPE, RESET, HALF = 1, 2, 3


class Faults:
    """The file that the library maps: see Control in faults.cc."""

    WORDS = 8

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(bytes(4 * self.WORDS))
        os.chmod(path, 0o666)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4 * self.WORDS)

    def _get(self, index):
        return struct.unpack_from("<i", self.memory, 4 * index)[0]

    def _set(self, index, value):
        struct.pack_into("<i", self.memory, 4 * index, value)

    def fail_send(self, mode, k):
        """From now on the k-th send fails."""
        self._set(0, 0)
        self._set(2, 0)
        self._set(1, k)
        self._set(0, mode)

    def fail_allocation(self, n):
        self._set(4, 0)
        self._set(3, n)

    def stall(self, n, seconds):
        """The thread of the n-th call on a socket or event loop is held up for so long."""
        self._set(6, int(seconds * 1e6))
        self._set(5, n)

    def stalls_ended(self):
        return self._get(7)

    def stop(self):
        """Nothing fails any more. Returns how many calls have failed."""
        self._set(0, 0)
        self._set(1, 0)
        self._set(3, 0)
        self._set(5, 0)
        return self._get(2) + self._get(4)


class FaultyServer:
    """larderd with the library, on loopback and on a unix socket. Call stop() at the end.

    tls    with -Z; plain TCP clients use a second port then
    users  a file for -Y is made of it
    unix   listens on a unix socket alone
    """

    def __init__(self, *options, tls=False, users=None, udp=False, unix=False):
        self.folder = tempfile.mkdtemp(prefix="larder-faults-")
        os.chmod(self.folder, 0o777)
        self.faults = Faults(self.path("faults"))
        self.tls = None
        self.udp_port = None
        arguments = [LARDERD]
        if os.geteuid() == 0:
            arguments += ["-u", pwd.getpwuid(0).pw_name]
        if tls:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=larder",
                 "-keyout", self.path("key"), "-out", self.path("certificate")],
                check=True, capture_output=True)
            arguments += ["-Z", "-o", f"ssl_chain_cert={self.path('certificate')},"
                                      f"ssl_key={self.path('key')}"]
            arguments += ["-l", "127.0.0.1,notls:127.0.0.1"]
            self.tls = ssl.create_default_context(cafile=self.path("certificate"))
            self.tls.check_hostname = False
        elif unix:
            arguments += ["-s", self.path("socket")]
        else:
            arguments += ["-l", "127.0.0.1"]
        if users:
            with open(self.path("users"), "w") as file:
                file.write(users)
            arguments += ["-Y", self.path("users")]
        arguments += ["-t", "1", *options]
        if not unix:
            arguments += ["-p", "-1"]
        if udp:
            arguments += ["-U", str(free_udp_port())]
        environment = dict(os.environ, LD_PRELOAD=LIBRARY, LARDER_FAULTS=self.path("faults"),
                           MEMCACHED_PORT_FILENAME=self.path("ports"))
        self.log = open(self.path("log"), "w+")
        self.process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        end = time.monotonic() + PATIENCE_SECONDS
        self.unix = self.path("socket") if unix else None
        while not (self.listens_on_unix_socket() if unix else os.path.exists(self.path("ports"))):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("larderd did not start:\n" + self.printed())
            time.sleep(0.01)
        if unix:
            return
        with open(self.path("ports")) as file:
            text = file.read()
        ports = [int(port) for port in re.findall(r"TCP INET: (\d+)", text)]
        self.port, self.plain_port = ports[0], ports[-1]
        if udp:
            self.udp_port = int(re.search(r"UDP INET: (\d+)", text).group(1))

    def listens_on_unix_socket(self):
        """Its file is there a moment earlier."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.unix) == 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def printed(self):
        with open(self.path("log"), errors="replace") as file:
            return file.read()

    def running(self):
        return self.process.poll() is None

    def connect(self, encrypted=False):
        if self.unix:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE_SECONDS)
            client.connect(self.unix)
            return client
        client = socket.create_connection(
            ("127.0.0.1", self.port if encrypted else self.plain_port), PATIENCE_SECONDS)
        return self.tls.wrap_socket(client) if encrypted else client

    def figure(self, name, login=b""):
        """One row of `stats larder`."""
        with self.connect() as client:
            client.sendall(login + b"stats larder\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                more = client.recv(65536)
                if not more:
                    break
                answer += more
        found = re.search(rb"STAT %s (\d+)" % name.encode(), answer)
        return found and int(found.group(1))

    def stop(self):
        """Stops it. Returns a complaint, or None if all was well."""
        self.faults.stop()
        complaint = None
        if self.process.poll() is not None:
            complaint = f"larderd ended by itself with {self.process.returncode}:\n" + self.printed()
        else:
            self.process.terminate()
            try:
                code = self.process.wait(PATIENCE_SECONDS)
                if code != 0:
                    complaint = f"larderd ended with {code}:\n" + self.printed()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                complaint = "larderd did not stop on SIGTERM"
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return complaint


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_all(client):
    """What comes until the other side closes, or resets."""
    data = bytearray()
    try:
        while more := client.recv(1 << 20):
            data += more
    except OSError:
        pass
    return bytes(data)


def ask(client, request, end=b"\r\n"):
    """Sends `request` and returns what comes until `end`, or until the other side closes."""
    client.sendall(request)
    data = b""
    while not data.endswith(end):
        more = client.recv(65536)
        if not more:
            break
        data += more
    return data
