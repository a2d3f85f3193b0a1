"""How the real program starts, runs in the background, stops, and says what is wrong.

LARDERD names the program. Everything happens on loopback ports that are free and in a folder of its
own. What needs root is only asked for as root; the rest of it is in tests/daemon/process_test.cc.
"""

import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

LARDERD = os.path.abspath(os.environ["LARDERD"])
ROOT = os.geteuid() == 0
PATIENCE_SECONDS = 20
with open(LARDERD, "rb") as program:
    CODE = program.read()
SANITIZED = b"__asan_init" in CODE or b"__tsan_init" in CODE
del CODE


def wait_until(holds, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


def is_gone(pid):
    """Also true for a zombie, which only its parent, maybe init, can bury."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def accepts(path):
    """A Unix socket is there, with its rights, a moment before it takes connections."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


class CommandLineTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-wire-")
        os.chmod(self.folder, 0o777)  # also for another user
        self.ports = os.path.join(self.folder, "ports")
        self.running = []

    def tearDown(self):
        for pid in self.running:
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, *options, user="root", program=LARDERD):
        """With -u where it is needed, unless user is None."""
        words = [program] + [str(option) for option in options]
        return words + (["-u", user] if ROOT and user else [])

    def run_to_end(self, *options, **kinds):
        return subprocess.run(self.command(*options, **kinds), cwd=self.folder, text=True,
                              capture_output=True, timeout=PATIENCE_SECONDS)

    def start(self, *options, preexec_fn=None, **kinds):
        """A server on a free port in the foreground. Returns the process; see port()."""
        if os.path.exists(self.ports):
            os.unlink(self.ports)
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports)
        process = subprocess.Popen(
            self.command("-l", "127.0.0.1", "-p", "-1", *options, **kinds), cwd=self.folder,
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, preexec_fn=preexec_fn)
        self.running.append(process.pid)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(self.ports) or process.poll() is not None, "a port")
        self.assertIsNone(process.poll(), "it ended at once")
        return process

    def port(self):
        with open(self.ports) as file:
            return int(re.search(r"TCP INET: (\d+)", file.read()).group(1))

    def ask(self, request, end=b"\r\n", address=None):
        family = socket.AF_UNIX if address else socket.AF_INET
        with socket.socket(family) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(address or ("127.0.0.1", self.port()))
            client.sendall(request)
            reply = b""
            while not reply.endswith(end):
                more = client.recv(65536)
                if not more:
                    break
                reply += more
            return reply

    def assert_refused(self, ended, exit_code, sentence):
        self.assertEqual(ended.returncode, exit_code, ended.stderr)
        self.assertEqual(ended.stdout, "")
        self.assertEqual(ended.stderr.count("\n"), 1, "more than one sentence: " + ended.stderr)
        self.assertRegex(ended.stderr, sentence)

    # -- Things to print.

    def test_version_and_help_are_printed_under_any_name(self):
        ended = self.run_to_end("-V", user=None)
        self.assertEqual(ended.returncode, 0)
        self.assertRegex(ended.stdout, r"^larderd \d+\.\d+\.\d+ \(speaks as memcached 1\.6\.45\)\n$")
        for name in ("memcached", "memcached-debug"):
            os.symlink(LARDERD, self.path(name))
            ended = self.run_to_end("-V", user=None, program=self.path(name))
            self.assertEqual(ended.stdout, "memcached 1.6.45\n")
        ended = self.run_to_end("-h", user=None)
        self.assertEqual(ended.returncode, 0)
        self.assertIn("--memory-limit=<num>", ended.stdout)
        self.assertEqual(self.run_to_end("-i", user=None).returncode, 0)

    # -- Things that are wrong.

    def test_what_is_wrong_is_one_sentence_and_an_exit_code(self):
        missing = self.path("no/such/folder/file")
        for options, exit_code, sentence in [
            (["-q"], 1, "unknown option '-q'"),
            (["-t", "0"], 1, "option -t: '0'"),
            (["-o", "nonsense"], 1, "option -o: 'nonsense'"),
            (["-m", "1000000"], 64, "option -m: 1000000 MiB"),
            (["-I", "33m"], 64, "option -I: .* half of -m 64"),
            (["-U", "70000"], 64, "option -U: '70000'"),
            (["-U", "-5"], 71, "option -U: '-5'"),
            (["-l", "192.0.2.1", "-p", "0", "-U", "-1"], 71, "-l 192.0.2.1 \\(-U -1\\)"),
            (["-l", "999.1.1.1", "-p", "-1"], 71, "-l.*999.1.1.1"),
            (["-l", "192.0.2.1", "-p", "-1"], 71, "-l.*192.0.2.1"),
            (["-s", missing], 71, "-s.*" + missing),
            (["-N", "2"], 64, "option -N: .*'2'.* not offered"),
            (["-o", "ext_path=/x:1g"], 64, "option -o ext_path: .* not offered"),
            (["-o", "slab_chunk_max=1000"], 64, "slab_chunk_max: 1024000"),
        ]:
            with self.subTest(options=options):
                self.assert_refused(self.run_to_end(*options), exit_code, sentence)

    def test_a_port_in_use_is_named(self):
        self.start()
        port = str(self.port())
        self.assert_refused(self.run_to_end("-l", "127.0.0.1", "-p", port), 71, port)
        self.assert_refused(self.run_to_end("-d", "-l", "127.0.0.1", "-p", port), 71, port)

    @unittest.skipUnless(ROOT, "root alone can be told to become somebody else")
    def test_root_must_say_who_it_wants_to_be(self):
        self.assert_refused(self.run_to_end("-p", "-1", user=None), 64, "-u")
        self.assert_refused(self.run_to_end("-p", "-1", user="no-such-user"), 67, "no-such-user")

    # -- Starting, running, stopping.

    def test_signals_and_the_command_stop_it_cleanly(self):
        for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            process = self.start("-P", self.path("pid"))
            self.assertEqual(self.ask(b"set a 0 0 1\r\n1\r\n"), b"STORED\r\n")
            process.send_signal(signal.SIGHUP)  # ignored
            self.assertEqual(self.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\n1\r\nEND\r\n")
            process.send_signal(stop)
            self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
            self.assertEqual(process.stderr.read(), "")
            self.assertFalse(os.path.exists(self.path("pid")))
        for command in (b"shutdown\r\n", b"shutdown graceful\r\n"):
            process = self.start("-A")
            self.assertEqual(self.ask(command), b"")
            self.assertEqual(process.wait(PATIENCE_SECONDS), 0)

    def test_in_the_foreground_the_pid_file_names_the_process(self):
        process = self.start("-P", "here.pid")
        wait_until(lambda: os.path.exists(self.path("here.pid")), "the pid file")
        with open(self.path("here.pid")) as file:
            self.assertEqual(file.read(), f"{process.pid}\n")

    def test_in_the_background_it_returns_when_clients_can_connect(self):
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=self.ports)
        ended = subprocess.run(
            self.command("-d", "-l", "127.0.0.1", "-p", "-1", "-P", "daemon.pid"), cwd=self.folder,
            env=environment, text=True, capture_output=True, timeout=PATIENCE_SECONDS)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))
        with open(self.path("daemon.pid")) as file:
            pid = int(file.read())
        self.running.append(pid)
        stats = self.ask(b"stats\r\n", b"END\r\n").decode()
        self.assertIn(f"STAT pid {pid}\r\n", stats)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        for stream in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{stream}"), "/dev/null")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: is_gone(pid), "the end of the daemon")
        self.assertFalse(os.path.exists(self.path("daemon.pid")))

    def test_in_the_background_failing_is_told_to_who_started_it(self):
        missing = self.path("no/such/socket")
        self.assert_refused(self.run_to_end("-d", "-s", missing), 71, missing)

    def test_a_pid_file_that_cannot_be_written_is_a_warning(self):
        missing = self.path("no/such/pid")
        process = self.start("-P", missing)
        self.assertEqual(self.ask(b"version\r\n"), b"VERSION 1.6.45\r\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        self.assertRegex(process.stderr.read(), "option -P: cannot write .*" + missing)

    def test_verbose_says_where_it_listens_and_what_has_no_effect(self):
        process = self.start("-v", "-o", "modern,hashpower=16,idle_timeout=30")
        port = self.port()
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        lines = process.stderr.read().splitlines()
        self.assertRegex(lines[0], rf"^larderd: larderd \S+ listening on .*127\.0\.0\.1:{port}")
        self.assertEqual(lines[1], "larderd: option -o modern has no effect here")
        self.assertEqual(lines[2], "larderd: option -o hashpower=16 has no effect here")
        self.assertEqual(len(lines), 4)

    def test_a_unix_socket_has_the_rights_asked_for_and_goes_at_the_end(self):
        path = self.path("socket")
        process = subprocess.Popen(self.command("-s", path, "-a", "0750"), stderr=subprocess.PIPE)
        self.running.append(process.pid)
        self.addCleanup(process.stderr.close)
        wait_until(lambda: accepts(path), "the socket")
        self.assertEqual(self.ask(b"version\r\n", address=path), b"VERSION 1.6.45\r\n")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o750)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        self.assertFalse(os.path.exists(path))

    def test_the_options_arrive(self):
        self.start("-m", "100", "-c", "77", "-t", "2", "-I", "2m", "-B", "ascii", "-F", "-b", "8675",
                   "-C", "-R", "5", "-o", "no_lru_crawler,idle_timeout=9")
        settings = dict(line.split(" ", 2)[1:] for line in
                        self.ask(b"stats settings\r\n", b"END\r\n").decode().split("\r\n")[:-2])
        for key, value in {
            "maxbytes": str(100 << 20), "maxconns": "77", "num_threads": "2",
            "item_size_max": str(2 << 20), "binding_protocol": "ascii", "flush_enabled": "no",
            "tcp_backlog": "8675", "cas_enabled": "no", "reqs_per_event": "5",
            "lru_crawler": "no", "idle_timeout": "9", "tcpport": str(self.port()),
        }.items():
            self.assertEqual(settings[key], value, key)
        self.assertEqual(self.ask(b"flush_all\r\n"), b"CLIENT_ERROR flush_all not allowed\r\n")

    @unittest.skipUnless(ROOT, "root alone can be told to become somebody else")
    def test_it_becomes_the_user_it_is_told_to(self):
        folder = self.path("program")  # where nobody can read it
        os.mkdir(folder, 0o755)
        shutil.copy(LARDERD, folder)
        process = self.start("-P", self.path("pid"), user="nobody",
                             program=os.path.join(folder, os.path.basename(LARDERD)))
        nobody = pwd.getpwnam("nobody")
        with open(f"/proc/{process.pid}/status") as file:
            status = file.read()
        self.assertIn("\nUid:" + f"\t{nobody.pw_uid}" * 4, status)
        self.assertIn("\nGid:" + f"\t{nobody.pw_gid}" * 4, status)
        self.assertRegex(status, r"\nGroups:\s*\n")
        wait_until(lambda: os.path.exists(self.path("pid")), "the pid file")
        self.assertEqual(os.stat(self.path("pid")).st_uid, nobody.pw_uid)

    @unittest.skipUnless(ROOT, "the limit on locked memory may be too low otherwise")
    def test_locked_memory_is_what_is_used_not_what_is_reserved(self):
        process = self.start("-k", "-m", "1024")
        self.ask(b"version\r\n")
        with open(f"/proc/{process.pid}/status") as file:
            status = file.read()
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))
        self.assertLess(resident, 256 * 1024)

    @unittest.skipUnless(ROOT, "the limit on locked memory may be too low otherwise")
    def test_locked_memory_goes_back_when_the_limit_is_lowered(self):
        process = self.start("-k", "-m", "64", "-t", "1")

        def resident():
            with open(f"/proc/{process.pid}/status") as file:
                return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) >> 10

        value = b"x" * 30000
        with socket.create_connection(("127.0.0.1", self.port())) as client:
            for i in range(1900):
                client.sendall(b"set k%d 0 0 30000 noreply\r\n%s\r\n" % (i, value))
            client.sendall(b"mn\r\n")
            self.assertEqual(client.recv(4), b"MN\r\n")
        full = resident()
        self.assertGreater(full, 56)
        self.assertEqual(self.ask(b"cache_memlimit 16\r\n"), b"OK\r\n")
        wait_until(lambda: resident() < full - 40, "48 MiB to go back")

    @unittest.skipIf(SANITIZED, "a sanitizer needs more address space")
    def test_it_starts_and_serves_in_little_address_space(self):
        def limit(kibibytes):
            return lambda: resource.setrlimit(resource.RLIMIT_AS, (kibibytes << 10,) * 2)

        for kibibytes, mebibytes in ((200000, 64), (8 << 20, 4096)):
            process = self.start("-m", mebibytes, preexec_fn=limit(kibibytes))
            value = b"x" * 10000
            with socket.create_connection(("127.0.0.1", self.port())) as client:
                for i in range(10000):
                    client.sendall(b"set k%d 0 0 10000 noreply\r\n%s\r\n" % (i, value))
                client.sendall(b"mn\r\n")
                self.assertEqual(client.recv(4), b"MN\r\n")
            self.assertIn(value, self.ask(b"get k9999\r\n", b"END\r\n"))
            self.assertEqual(self.ask(b"cache_memlimit 8192\r\n")[:6], b"MEMLIM")
            process.terminate()
            self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
            self.assertNotIn("bad_alloc", process.stderr.read())

    @unittest.skipUnless(os.path.isdir("/dev/shm"), "there is no tmpfs")
    def test_with_large_pages_all_memory_is_taken_at_the_start(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="larder-wire-") as tmpfs:
            os.chmod(tmpfs, 0o777)
            for more in ([], ["-e", os.path.join(tmpfs, "items")]):
                process = self.start("-L", "-m", "256", *more)
                self.ask(b"version\r\n")
                with open(f"/proc/{process.pid}/status") as file:
                    resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))
                self.assertGreaterEqual(resident, 256 * 1024 * 0.98, more)
                process.terminate()
                self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
                self.assertNotIn("-L", process.stderr.read())


if __name__ == "__main__":
    unittest.main()
