"""What the client tests share: a server of their own, and dependencies that must be there.

A test file asks for what it needs (`need_module`, `need_program`), declares `ServerCase` classes
and ends with `main()`. Nothing is skipped: a missing client is a failure that names the Debian
package to install.

The server is the program that the environment variable LARDERD names (it may carry options), or
else the newest larderd under build/. Any server that takes memcached's options serves, so the
tests can be checked against memcached itself: LARDERD=/usr/bin/memcached.
"""

import contextlib
import importlib
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
START_TIMEOUT_SECONDS = 20
STOP_TIMEOUT_SECONDS = 10

# Every byte value, so that whatever treats one of them specially shows: \r\n, NUL, 0x80.
ALL_BYTES = bytes(range(256)) * 4 + b"\r\nEND\r\nVALUE x 0 1\r\n\0"

# Just below 1 MiB with room for the key and the header of an item: the default limit of an item.
NEARLY_ONE_MEGABYTE = 1024 * 1024 - 2048


def fail(sentence):
    """Ends the whole test file as failed."""
    sys.exit("FAILED: " + sentence)


def need_module(name, package):
    """Imports a client library; `package` is what to install when it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        fail(f"{sys.executable} cannot import {name} ({error}); install the package {package}")


def need_program(name, package):
    """The full path of a program; `package` is what to install when it is not there."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        fail(f"{name} is not installed; install the package {package}")
    return path


def server_command():
    """The server under test, as an argument list."""
    given = os.environ.get("LARDERD")
    if given:
        command = shlex.split(given)
        if shutil.which(command[0]) is None:
            fail(f"LARDERD names {command[0]}, which is not a program that can be run")
        return command
    found = []
    for folder, _, files in os.walk(os.path.join(REPOSITORY, "build")):
        found += [os.path.join(folder, name) for name in files if name == "larderd"]
    if not found:
        fail("there is no larderd under build/; build it, or name one in LARDERD")
    return [max(found, key=os.path.getmtime)]


def tool(name, variable):
    """The program that the environment `variable` names, or else the newest `name` under build/."""
    given = os.environ.get(variable)
    if given:
        return given
    paths = (os.path.join(folder, name)
             for folder, _, files in os.walk(os.path.join(REPOSITORY, "build")) if name in files)
    found = [path for path in paths if os.access(path, os.X_OK)]  # completions have the same name
    if not found:
        fail(f"there is no {name} under build/; build it, or name one in {variable}")
    return max(found, key=os.path.getmtime)


def bench_program():
    return tool("larder-bench", "LARDER_BENCH")


def larder_program():
    return tool("larder", "LARDER")


def free_port():
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server on a loopback port, or on a unix socket if `unix` is set.

    port     TCP port; None over a unix socket
    path     unix socket path; None over TCP
    address  "127.0.0.1:port", "[::1]:port" or the path: what most clients want to be told
    """

    def __init__(self, *options, unix=False, command=None, port=None, host="127.0.0.1"):
        self.folder = tempfile.mkdtemp(prefix="larder-client-")
        self.port = None if unix else port or free_port()
        self.path = os.path.join(self.folder, "socket") if unix else None
        self.host = host
        self.ipv6 = ":" in host
        self.address = self.path or (f"[{host}]:{self.port}" if self.ipv6 else f"{host}:{self.port}")
        arguments = list(command or server_command())
        if os.geteuid() == 0:
            arguments += ["-u", pwd.getpwuid(0).pw_name]
        arguments += ["-s", self.path] if unix else ["-l", host, "-p", str(self.port)]
        self.arguments = arguments + [str(option) for option in options]
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def connect(self):
        """A plain socket to the server, for what a client library cannot say."""
        plain = socket.socket(socket.AF_UNIX if self.path else
                              socket.AF_INET6 if self.ipv6 else socket.AF_INET)
        try:
            plain.settimeout(10)
            plain.connect(self.path or (self.host, self.port))
        except OSError:
            plain.close()
            raise
        return plain

    def ask(self, request, end=b"\r\n"):
        """Sends `request` on a connection of its own and reads until the answer ends in `end`."""
        with self.connect() as plain:
            plain.sendall(request)
            answer = b""
            while not answer.endswith(end):
                more = plain.recv(65536)
                if not more:
                    break
                answer += more
            return answer

    def stat(self, name):
        """One figure of `stats`, as text; None if there is none of that name."""
        match = re.search(rf"STAT {name} (\S+)\r\n", self.ask(b"stats\r\n", b"END\r\n").decode())
        return match and match.group(1)

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def running(self):
        return self.process.poll() is None

    def output(self):
        """What the server has printed so far."""
        self.log.flush()
        with open(self.log.name, "rb") as log:
            return log.read().decode(errors="replace")

    def stop(self):
        """Stops the server and removes its folder; returns a complaint, or None if all was well.

        May be called again, as a test does that stops one of its servers early."""
        complaint = None
        if self.log.closed:
            return None
        if self.process.poll() is not None:
            complaint = f"the server ended by itself with {self.process.returncode}"
        else:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                complaint = "the server did not stop on SIGTERM"
                self.process.kill()
                self.process.wait()
        if complaint:
            complaint += "; it printed:\n" + self.output()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return complaint

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        complaint = self.stop()
        if complaint and kind is None:
            raise AssertionError(complaint)

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.running():
            with contextlib.suppress(OSError):
                if self.ask(b"version\r\n").startswith(b"VERSION "):
                    return
            time.sleep(0.02)
        raise AssertionError(
            f"{shlex.join(self.arguments)} did not answer; it printed:\n{self.output()}")


class ServerCase(unittest.TestCase):
    """Tests that share one server, emptied before each test.

    over_unix_socket  talk through a unix socket instead of TCP
    server_options    further options for the server
    """

    over_unix_socket = False
    server_options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.server_options, unix=cls.over_unix_socket)

    @classmethod
    def tearDownClass(cls):
        complaint = cls.server.stop()
        if complaint:
            raise AssertionError(complaint)

    def setUp(self):
        self.assertEqual(self.server.ask(b"flush_all\r\n"), b"OK\r\n")


def run(command, **options):
    """Runs a program to its end; standard output and error come back together as text."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=options.pop("timeout", 120), **options)
    done.stdout = done.stdout.decode(errors="replace")
    return done


def wait_until(happened, sentence, seconds=START_TIMEOUT_SECONDS):
    """Waits until `happened()` is true; raises with `sentence` when it is not within `seconds`.

    sentence  may be called for it then
    What it raises meanwhile because nobody listens yet means "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if happened():
                return
        time.sleep(0.02)
    what = sentence() if callable(sentence) else sentence
    raise AssertionError(f"{what} did not happen within {seconds} s")


def seconds_left(answer):
    """How long an item lives, of the reply to `mg KEY t` or `me KEY`; None if there is no item."""
    found = re.search(rb" (?:t|exp=)(-?\d+)\b", answer)
    return found and int(found.group(1))


def start_beside(add_cleanup, command, log, **options):
    """Starts a program of others that runs beside the server, with its output in the file `log`.

    add_cleanup  a test's addCleanup or a class' addClassCleanup, which is to stop it
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, **options)

    def stop():
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{command[0]} did not stop on SIGTERM")
    add_cleanup(stop)
    return process


def install_npm_packages(folder):
    """Installs what npm/package-lock.json pins into `folder`, from npm's cache or its registry."""
    npm = need_program("npm", "npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(HERE, "npm", name), folder)
    done = run([npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"],
               cwd=folder)
    if done.returncode != 0:
        fail(f"npm could not install its packages:\n{done.stdout}")


def complaints_of_tap(text):
    """What is wrong with the report of a script that speaks TAP (`ok 1 - ...`, `1..n`)."""
    wrong = re.findall(r"^not ok.*(?:\n#.*)*", text, re.M)
    plan = re.search(r"^1\.\.(\d+)", text, re.M)
    passed = len(re.findall(r"^ok ", text, re.M))
    if plan is None or int(plan.group(1)) == 0:
        wrong.append("the script did not reach its end")
    elif passed + len(re.findall(r"^not ok ", text, re.M)) != int(plan.group(1)):
        wrong.append(f"{passed} checks were made, {plan.group(1)} were planned")
    return wrong


class ScriptCase(ServerCase):
    """A client in another language: its script makes the checks and reports them as TAP."""

    def run_script(self, *command, **options):
        done = run(command, **options)
        wrong = complaints_of_tap(done.stdout)
        if done.returncode != 0 or wrong:
            self.fail(f"{shlex.join(str(word) for word in command)} ended with "
                      f"{done.returncode}:\n{done.stdout}\n" + "\n".join(wrong))


def main():
    unittest.main(verbosity=2)
