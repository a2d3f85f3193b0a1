"""docs/moving.md: Debian's memcached, and larderd in its place with the same file."""

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import unittest

import guide
import support

support.need_program("memcstat", "libmemcached-tools")
MEMCACHED = support.need_program("memcached", "memcached")
MEMCACHED_WRAPPER = "/usr/share/memcached/scripts/systemd-memcached-wrapper"


class Moving(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-guide-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o777)  # for the file of the process id
        self.port = support.free_port()
        self.conf = os.path.join(self.folder, "memcached.conf")
        self.write_conf()
        [larderd] = support.server_command()
        self.guide = guide.Guide("moving.md", {
            "127.0.0.1:11211": f"127.0.0.1:{self.port}",
            "-p 11299": f"-p {support.free_port()}",
            "/tmp/larder-trial.pid": f"{self.folder}/trial.pid",
            "/usr/local/bin/larderd": os.path.abspath(shutil.which(larderd)),
            "/etc/memcached.conf": self.conf})

    def write_conf(self, *further):
        """Debian's file with a port and a file for the process id of our own."""
        with open("/etc/memcached.conf") as file:
            text = file.read()
        text, ports = re.subn(r"^-p 11211$", f"-p {self.port}", text, flags=re.M)
        text, pids = re.subn(r"^-P .*$", f"-P {self.folder}/pid", text, flags=re.M)
        self.assertEqual((ports, pids), (1, 1))
        if os.geteuid() != 0:
            text = text.replace("-u memcache", f"-u {pwd.getpwuid(os.geteuid()).pw_name}")
        with open(self.conf, "w") as file:
            file.write("\n".join([text, *further, ""]))

    def start(self, command):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

        def stop():
            if process.poll() is None:
                process.terminate()
                process.wait(10)
        self.addCleanup(stop)
        support.wait_until(lambda: self.tell(b"version\r\n").startswith(b"VERSION"), "an answer")
        return stop

    def start_memcached(self):
        if os.geteuid() == 0:
            return self.start([MEMCACHED_WRAPPER, self.conf])
        # Debian's starts nothing for anybody but root.
        with open(self.conf) as file:
            options = [word for line in file if line[:1] == "-" for word in line.split()]
        return self.start([MEMCACHED, *(word for word in options if word != "-d")])

    def start_larderd(self):
        """As the guide's unit says."""
        command = None
        for line in self.guide.text("override.conf").splitlines():
            name, _, value = line.partition("=")
            if name == "ExecStart":
                command = shlex.split(value) or command
        return self.start(command)

    def tell(self, request, end=b"\r\n"):
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            plain.sendall(request)
            answer = b""
            while not answer.endswith(end):
                answer += plain.recv(65536)
            return answer

    def run_block(self, name):
        return self.guide.run(name, cwd=self.folder)

    def test_what_is_set_up_stays_and_the_guide_lists_what_does_not(self):
        for further in ((), ("-c 2000", "-t 3", "-I 2m", "-o idle_timeout=100", "-F")):
            self.write_conf(*further)
            stop = self.start_memcached()
            self.tell(b"set k 0 0 1\r\nv\r\n")
            for _ in range(3):
                self.tell(b"get k\r\n", b"END\r\n")
            self.tell(b"get missing\r\n", b"END\r\n")
            self.assertEqual(self.run_block("try.sh"), "")
            self.run_block("before.sh")
            self.assertEqual(self.run_block("hit_rate.sh"), "75.0 %\n")
            stop()
            stop = self.start_larderd()
            self.assertEqual(self.run_block("after.sh"), self.guide.text("after.txt"), further)
            self.assertEqual(self.tell(b"get k\r\n", b"END\r\n"), b"END\r\n")
            self.assertEqual(self.tell(b"set k 0 0 1\r\nv\r\n"), b"STORED\r\n")
            self.tell(b"get k\r\n", b"END\r\n")
            self.assertEqual(self.run_block("hit_rate.sh"), "50.0 %\n")
            self.assertEqual(self.tell(b"stats reset\r\n"), b"RESET\r\n")
            self.tell(b"get k\r\n", b"END\r\n")
            self.assertEqual(self.run_block("hit_rate.sh"), "100.0 %\n")
            stop()
        self.assertIsNone(self.guide.complaint())

    def test_the_trial_names_an_option_that_is_not_understood(self):
        self.write_conf("-o ext_path=/tmp/none:64m")
        done = support.run(["bash", "-c", self.guide.text("try.sh")], cwd=self.folder)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("ext_path", done.stdout)
        self.assertEqual(done.stdout.count("\n"), 1, done.stdout)

    def test_the_trial_says_that_it_listens_where_the_file_asks_for_it(self):
        self.write_conf("-v")
        self.assertRegex(self.run_block("try.sh"), r"\A.* listening on .*\n.*'logfile' is no option and has no effect\n"
                         r".* stopping\n\Z")

    def test_the_trial_leaves_memcached_alone(self):
        self.start_memcached()
        pid_file = os.path.join(self.folder, "pid")
        support.wait_until(lambda: os.path.exists(pid_file), "a file with memcached's process id")
        self.run_block("try.sh")
        self.assertTrue(os.path.exists(pid_file))
        self.assertTrue(self.tell(b"version\r\n").startswith(b"VERSION"))


if __name__ == "__main__":
    support.main()
