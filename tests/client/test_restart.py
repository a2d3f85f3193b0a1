"""Warm restart (-e): what an operator and the clients of a server that is restarted see."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from support import Server, main, server_command

ROUNDS = 20
WRITERS = 4
KEYS_PER_WRITER = 2000
MEBIBYTES = 64
# On the file system in memory, as the option asks for.
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def value_of(key, version, length):
    """A value that names its key and version, and ends with a checksum of itself."""
    body = f"{key}:{version}:".encode().ljust(length, b".")
    return body + hashlib.md5(body).hexdigest().encode()


def check(key, value):
    """The version of a value that is whole and the key's own; else an AssertionError."""
    body, checksum = value[:-32], value[-32:]
    if hashlib.md5(body).hexdigest().encode() != checksum:
        raise AssertionError(f"{key}: the value is damaged")
    owner, version, _ = body.split(b":", 2)
    if owner.decode() != key:
        raise AssertionError(f"{key}: this is the value of {owner.decode()}")
    return int(version)


def read_values(server, keys):
    """What the server has under the keys, as a dictionary."""
    found = {}
    with server.connect() as plain:
        stream = plain.makefile("rb")
        for start in range(0, len(keys), 100):
            plain.sendall(b"get " + " ".join(keys[start:start + 100]).encode() + b"\r\n")
            while (line := stream.readline()) != b"END\r\n":
                _, key, _, length = line.split()
                found[key.decode()] = stream.read(int(length) + 2)[:-2]
    return found


class Writer(threading.Thread):
    """Stores values until its connection breaks; knows which were acknowledged.

    acknowledged  key: the latest version whose STORED was read
    sent          key: the latest version that was sent, as the stop may have cut the answer off
    """

    def __init__(self, server, number, acknowledged, sent, seed):
        super().__init__()
        self.socket = server.connect()
        self.number = number
        self.acknowledged = acknowledged
        self.sent = sent
        self.random = random.Random(seed)

    def run(self):
        stream = self.socket.makefile("rb")
        try:
            while True:
                keys = {f"w{self.number}-{self.random.randrange(KEYS_PER_WRITER)}"
                        for _ in range(8)}
                request = b""
                for key in keys:
                    self.sent[key] = self.sent.get(key, 0) + 1
                    length = self.random.choice((30, 300, 3000, 30000 if key.endswith("7") else 60))
                    value = value_of(key, self.sent[key], length)
                    request += f"set {key} 0 0 {len(value)}\r\n".encode() + value + b"\r\n"
                self.socket.sendall(request)
                for key in keys:
                    if stream.readline() != b"STORED\r\n":
                        return
                    self.acknowledged[key] = self.sent[key]
        except OSError:
            pass
        finally:
            self.socket.close()


class RestartCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-restart-", dir=SHARED_MEMORY)
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = os.path.join(self.folder, "cache")

    def start(self, *options, mebibytes=MEBIBYTES):
        server = Server("-e", self.file, "-m", mebibytes, "-v", *options)
        self.addCleanup(server.stop)
        return server

    def end(self, server, number):
        """Ends the server with the signal; its exit status and all that it said."""
        server.process.send_signal(number)
        status = server.process.wait(20)
        output = server.output()
        server.stop()
        return status, output

    def leave_an_item(self):
        server = self.start()
        self.assertEqual(server.ask(b"set k 7 0 5\r\nvalue\r\n"), b"STORED\r\n")
        status, output = self.end(server, signal.SIGUSR1)
        self.assertEqual(status, 0, output)
        self.assertIn("keeps 1 items", output)

    def expect_cold(self, server, why):
        self.assertIn("starting with an empty cache", server.output())
        self.assertIn(why, server.output())
        self.assertEqual(server.ask(b"get k\r\n"), b"END\r\n")
        self.assertEqual(server.ask(b"set k 0 0 3\r\nnew\r\n"), b"STORED\r\n")


class RestartUnderLoad(RestartCase):
    def test_every_acknowledged_item_is_served_after_each_of_many_restarts(self):
        acknowledged = [{} for _ in range(WRITERS)]
        sent = [{} for _ in range(WRITERS)]
        for round_number in range(ROUNDS):
            server = self.start("-t", 1 + round_number % 4)
            if round_number > 0:
                self.assertIn("brings back", server.output())
            for w in range(WRITERS):
                found = read_values(server, sorted(sent[w]))
                for key, value in found.items():
                    version = check(key, value)
                    self.assertLessEqual(version, sent[w][key])
                    self.assertGreaterEqual(version, acknowledged[w].get(key, 0), key)
                self.assertEqual(set(acknowledged[w]) - set(found), set())
            self.assertEqual(server.stat("evictions"), "0")  # or the above would mean nothing
            writers = [Writer(server, w, acknowledged[w], sent[w], seed=round_number * 100 + w)
                       for w in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(0.2)
            status, output = self.end(server, signal.SIGUSR1)
            self.assertEqual(status, 0, output)
            for writer in writers:
                writer.join(20)
        self.assertTrue(all(acknowledged))


class RestartAsAnOperatorMeetsIt(RestartCase):
    def test_a_graceful_stop_is_followed_by_a_warm_start(self):
        self.leave_an_item()
        self.assertTrue(os.path.exists(self.file + ".meta"))
        server = self.start("-t", 2)
        self.assertIn("brings back 1 items", server.output())
        self.assertFalse(os.path.exists(self.file + ".meta"))
        self.assertEqual(server.ask(b"get k\r\n", b"END\r\n"), b"VALUE k 7 5\r\nvalue\r\nEND\r\n")

    def test_what_expires_while_it_is_down_is_gone(self):
        server = self.start()
        self.assertEqual(server.ask(b"set soon 0 2 1\r\nx\r\n"), b"STORED\r\n")
        self.assertEqual(server.ask(b"set later 0 1000 1\r\nx\r\n"), b"STORED\r\n")
        self.end(server, signal.SIGUSR1)
        time.sleep(3.1)
        server = self.start()
        self.assertEqual(server.ask(b"get soon\r\n"), b"END\r\n")
        left = int(server.ask(b"mg later t\r\n")[4:])
        self.assertTrue(990 <= left <= 997, left)

    def test_what_is_killed_or_terminated_starts_empty(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            self.leave_an_item()
            server = self.start()
            self.end(server, number)
            server = self.start()
            self.expect_cold(server, "was not stopped gracefully")
            self.end(server, signal.SIGTERM)

    def test_changed_options_start_empty_and_are_named(self):
        for options, mebibytes, why in (
                ((), MEBIBYTES + 64, "the memory limit (-m) was 64 and is 128 MiB"),
                (("-I", "2m"), MEBIBYTES, "the largest item (-I) was 1048576 and is 2097152 bytes"),
                (("-f", "1.5"), MEBIBYTES, "the sizes of chunks (-f, -n) are others"),
                (("-C",), MEBIBYTES, "CAS was on and is off (-C)")):
            self.leave_an_item()
            server = self.start(*options, mebibytes=mebibytes)
            self.expect_cold(server, why)
            self.end(server, signal.SIGTERM)

    def test_damaged_and_foreign_files_start_empty(self):
        def flip(path, at):
            with open(path, "r+b") as file:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))

        def overwrite(path):
            with open(path, "wb") as file:
                file.write(b"something else\n" * 100)

        for damage, why in (
                (lambda: flip(self.file + ".meta", 500), "is damaged"),
                (lambda: os.truncate(self.file + ".meta", 500), "is damaged"),
                (lambda: overwrite(self.file + ".meta"), "was not written by larderd"),
                (lambda: flip(self.file, 40000), "was changed after its server had stopped"),
                (lambda: os.truncate(self.file, 1 << 20), "bytes and had")):
            self.leave_an_item()
            damage()
            server = self.start()
            self.expect_cold(server, why)
            self.end(server, signal.SIGTERM)

    def refused(self, sentence):
        """A start over the file that ends with this sentence and 71."""
        command = server_command() + ["-e", self.file, "-m", str(MEBIBYTES), "-l", "127.0.0.1",
                                      "-p", "0", "-s", os.path.join(self.folder, "socket")]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, timeout=20, check=False)
        self.assertEqual(ended.returncode, 71, ended.stderr)
        self.assertIn(sentence, ended.stderr)

    def test_a_file_of_somebody_or_that_somebody_may_write_is_refused_and_left_alone(self):
        letter = "somebody's letter\n" * 100
        with open(self.file, "w", encoding="ascii") as file:
            file.write(letter)
        self.refused("has content and is not a memory file of larderd")
        with open(self.file, encoding="ascii") as file:
            self.assertEqual(file.read(), letter)
        os.unlink(self.file)
        self.leave_an_item()
        os.chmod(self.file, 0o666)
        self.refused("can be written by other users")
        os.chmod(self.file, 0o600)
        os.rename(self.file, self.file + ".real")
        os.symlink(self.file + ".real", self.file)
        self.refused("is a symbolic link")
        os.unlink(self.file)
        os.rename(self.file + ".real", self.file)
        if os.geteuid() == 0:
            os.chown(self.file, 65534, 65534)
            self.refused("belongs to another user")
            os.chown(self.file, 0, 0)
        self.assertEqual(self.start().ask(b"get k\r\n", b"END\r\n"),
                         b"VALUE k 7 5\r\nvalue\r\nEND\r\n")

    def test_slots_that_were_changed_in_the_file_are_a_cold_start_with_a_sentence(self):
        server = self.start()
        with server.connect() as client:
            for i in range(20000):
                client.sendall(b"set k%d 0 0 100 noreply\r\n%s\r\n" % (i, b"x" * 100))
            client.sendall(b"mn\r\n")
            self.assertEqual(client.recv(4), b"MN\r\n")
        status, output = self.end(server, signal.SIGUSR1)
        self.assertEqual(status, 0, output)
        before = os.stat(self.file)
        changed = 0
        with open(self.file, "r+b") as file:
            content = bytearray(file.read())
            for page in range(32768, len(content), 32768):
                words = [content[at:at + 8] for at in range(page, page + 32768, 8)]
                used = [word for word in words if any(word)]
                # References of a small cache: words with a page number below 2,000.
                if len(used) < 500 or any(
                        (int.from_bytes(word, "little") & (1 << 38) - 1) >> 13 > 2000
                        for word in used):
                    continue
                for at in range(page, page + 32768, 8):
                    if any(content[at:at + 8]):
                        content[at + 4] |= 0x3f
                        changed += 1
            file.seek(0)
            file.write(content)
        os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertGreater(changed, 10000)
        self.expect_cold(self.start(), "' is damaged: ")

    def test_the_file_is_as_long_as_the_memory_limit_needs(self):
        server = self.start()
        length = os.stat(self.file).st_size
        self.assertGreater(length, MEBIBYTES << 20 - 1)
        self.assertLess(length, (MEBIBYTES + 16) << 20)
        self.assertEqual(server.ask(b"cache_memlimit 128\r\n"), b"OK\r\n")
        self.assertGreater(os.stat(self.file).st_size, 127 << 20)

    @unittest.skipUnless(os.geteuid() == 0, "a file system can only be mounted by root")
    def test_a_file_system_that_others_fill_makes_the_server_evict(self):
        small = os.path.join(self.folder, "small")
        os.mkdir(small)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", small],
                                 stderr=subprocess.PIPE, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("tmpfs cannot be mounted here: " + mounted.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        self.file = os.path.join(small, "cache")
        server = self.start()
        value = b"v" * 1000

        def store(prefix, count):
            with server.connect() as client:
                stream = client.makefile("rb")
                for i in range(count):
                    client.sendall(b"set %s%d 0 0 1000\r\n%s\r\n" % (prefix, i, value))
                    self.assertEqual(stream.readline(), b"STORED\r\n")

        store(b"a", 10000)
        with open(os.path.join(small, "other"), "wb") as other:
            try:
                while True:
                    other.write(bytes(65536))
                    other.flush()
            except OSError:
                pass
        store(b"b", 30000)
        self.assertIsNone(server.process.poll())
        self.assertGreater(int(server.stat("evictions")), 0)
        self.assertGreater(int(server.stat("curr_items")), 8000)
        os.unlink(os.path.join(small, "other"))
        deadline = time.monotonic() + 20
        while int(server.stat("curr_items")) < 40000 and time.monotonic() < deadline:
            store(b"c%d-" % time.monotonic_ns(), 5000)
        self.assertGreater(int(server.stat("curr_items")), 40000)

    def test_metadata_of_another_run_starts_empty(self):
        self.leave_an_item()
        shutil.copy(self.file + ".meta", self.file + ".kept")
        self.end(self.start(), signal.SIGUSR1)
        shutil.copy(self.file + ".kept", self.file + ".meta")
        self.expect_cold(self.start(), "are not of the same run")

    def test_a_second_server_on_the_file_is_refused(self):
        server = self.start()
        command = server_command() + server.arguments[len(server_command()):]
        command[command.index("-p") + 1] = "0"
        command += ["-s", os.path.join(self.folder, "socket")]
        second = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                timeout=20, check=False)
        self.assertEqual(second.returncode, 71)
        self.assertIn(b"is in use by another server", second.stderr)
        self.assertEqual(server.ask(b"version\r\n")[:8], b"VERSION ")

    def test_a_start_that_fails_leaves_the_items_to_the_next(self):
        self.leave_an_item()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            command = server_command() + ["-e", self.file, "-m", str(MEBIBYTES), "-l", "127.0.0.1",
                                          "-p", str(taken.getsockname()[1])]
            if os.geteuid() == 0:
                command += ["-u", "root"]
            failed = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    timeout=20, check=False)
            self.assertNotEqual(failed.returncode, 0)
        server = self.start()
        self.assertEqual(server.ask(b"get k\r\n", b"END\r\n"), b"VALUE k 7 5\r\nvalue\r\nEND\r\n")


if __name__ == "__main__":
    main()
