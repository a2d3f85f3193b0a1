"""Authentication as an operator meets it: the command line, SIGHUP, the background, core files.

What the server says on the wire is in tests/wire/auth_test.cc and sasl_test.cc.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

LARDERD = os.path.abspath(os.environ["LARDERD"])
PATIENCE_SECONDS = 20
AS_ROOT = ["-u", pwd.getpwuid(0).pw_name] if os.geteuid() == 0 else []


def wait_until(holds, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


def login(user, password):
    token = f"{user} {password}".encode()
    return b"set k 0 0 %d\r\n%s\r\n" % (len(token), token)


class AuthTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-auth-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.ports = os.path.join(self.folder, "ports")
        self.users = os.path.join(self.folder, "users")
        self.write("foo:bar\n")

    def write(self, text):
        with open(self.users, "w") as file:
            file.write(text)

    def start(self, *options):
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.addCleanup(self.log.close)
        process = subprocess.Popen(
            [LARDERD, *AS_ROOT, "-l", "127.0.0.1", "-p", "-1", *options], cwd=self.folder,
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(self.ports) or process.poll() is not None, "a port")
        self.assertIsNone(process.poll(), "it ended at once")
        return process

    def connect(self):
        with open(self.ports) as file:
            port = int(re.search(r"TCP INET: (\d+)", file.read()).group(1))
        client = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.addCleanup(client.close)
        return client

    def ask(self, request, client=None):
        client = client or self.connect()
        client.sendall(request)
        reply = b""
        while not reply.endswith(b"\r\n"):
            more = client.recv(65536)
            if not more:
                break
            reply += more
        return reply

    def printed(self):
        with open(self.log.name) as file:
            return file.read()

    def assert_refused(self, exit_code, sentence, *options):
        ended = subprocess.run([LARDERD, *AS_ROOT, "-l", "127.0.0.1", "-p", "-1", *options],
                               cwd=self.folder, text=True, capture_output=True,
                               timeout=PATIENCE_SECONDS)
        self.assertEqual(ended.returncode, exit_code, ended.stderr)
        self.assertEqual(ended.stderr, f"larderd: {sentence}\n")

    def test_a_file_that_cannot_be_used_is_one_sentence(self):
        self.assert_refused(1, "option -Y: cannot read 'none': No such file or directory",
                            "-Y", "none")
        self.write("nonsense\n")
        for background in ([], ["-d"]):
            self.assert_refused(
                1, f"option -Y: cannot use '{self.users}': line 1 is not user:password "
                "(of up to 1024 bytes)", "-Y", self.users, *background)
        self.write("")
        self.assert_refused(
            1, f"option -Y: cannot use '{self.users}': there is no user:password in it",
            "-Y", self.users)
        self.assert_refused(1, f"option -Y: '{self.folder}' is not a regular file",
                            "-Y", self.folder)

    def test_sighup_reads_the_users_again(self):
        process = self.start("-Y", "users", "-v")
        self.assertEqual(self.ask(login("foo", "bar")), b"STORED\r\n")
        self.write("foo:new\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.ask(login("foo", "new")) == b"STORED\r\n", "the new password")
        self.assertEqual(self.ask(login("foo", "bar")), b"CLIENT_ERROR authentication failure\r\n")
        self.assertIn("1 users and passwords read", self.printed())

    def test_a_file_gone_bad_is_said_and_changes_nothing(self):
        process = self.start("-Y", "users")
        self.assertEqual(self.ask(login("foo", "bar")), b"STORED\r\n")  # it listens to signals, too
        self.write("a secret without a colon\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "stay in force" in self.printed(), "a line in the log")
        self.assertNotIn("secret", self.printed())
        self.assertEqual(self.ask(login("foo", "bar")), b"STORED\r\n")
        self.assertIsNone(process.poll())

    def test_in_the_background_the_file_is_found_again(self):
        pid_file = os.path.join(self.folder, "pid")
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports)
        subprocess.run([LARDERD, *AS_ROOT, "-l", "127.0.0.1", "-p", "-1", "-d", "-Y", "users",
                        "-P", pid_file], cwd=self.folder, env=environment, check=True,
                       timeout=PATIENCE_SECONDS)
        with open(pid_file) as file:
            pid = int(file.read())
        try:
            self.write("foo:new\n")
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: self.ask(login("foo", "new")) == b"STORED\r\n", "the new password")
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not os.path.exists(pid_file), "its end")

    def test_passwords_are_in_no_memory_that_a_core_file_would_show(self):
        # Parts that make sense only together, so that this program's own memory is not in the way.
        password = "".join(("correct", "horse", "battery"))
        self.write(f"foo:{password}\n")
        process = self.start("-Y", "users", "-t", "1")
        client = self.connect()
        request = login("foo", password)
        client.sendall(request[:-4])  # half of it, which is kept, and the rest
        time.sleep(0.05)
        client.sendall(request[-4:])
        self.assertEqual(client.recv(100), b"STORED\r\n")
        self.assertEqual(self.ask(login("foo", password + "x")),
                         b"CLIENT_ERROR authentication failure\r\n")
        dumped = hidden = 0
        with open(f"/proc/{process.pid}/smaps") as smaps, \
                open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
            for line in smaps:
                found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
                if found:
                    begin, end = (int(word, 16) for word in found.groups())
                if line.startswith("Rss:"):
                    resident = int(line.split()[1])
                if not line.startswith("VmFlags:") or resident == 0 or " rd " not in line:
                    continue
                count = 0
                try:
                    for at in range(begin, min(end, begin + (64 << 20)), 1 << 20):
                        memory.seek(at)
                        count += memory.read(min(1 << 20, end - at)).count(password.encode())
                except (OSError, OverflowError):
                    continue  # what the kernel does not show
                if re.search(r"\bdd\b", line):
                    hidden += count
                else:
                    dumped += count
        self.assertEqual(dumped, 0)
        self.assertEqual(hidden, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
