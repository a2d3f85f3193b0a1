#!/usr/bin/env python3
"""Debian's /etc/memcached.conf starts larderd through packaging/start-with-memcached-conf."""

import os
import socket
import subprocess
import tempfile
import time
import unittest

from support import (REPOSITORY, START_TIMEOUT_SECONDS, free_port, main, need_program,
                     server_command)

need_program("memcached", "memcached")  # it brings the file
WRAPPER = os.path.join(REPOSITORY, "packaging", "start-with-memcached-conf")
CONF = "/etc/memcached.conf"


def connect(port):
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), START_TIMEOUT_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class MemcachedConfTest(unittest.TestCase):
    def options_of(self, text, *further):
        """The command line that the wrapper makes of a file, seen by a program in larderd's place."""
        with tempfile.TemporaryDirectory() as folder:
            conf = os.path.join(folder, "memcached.conf")
            shown = os.path.join(folder, "show")
            with open(conf, "w") as file:
                file.write(text)
            with open(shown, "w") as file:
                file.write("#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done\n")
            os.chmod(shown, 0o755)
            ended = subprocess.run([WRAPPER, conf, *further], capture_output=True, text=True,
                                   env=dict(os.environ, LARDERD=shown), timeout=10, check=True)
            self.assertEqual(ended.stderr, "")
            return ended.stdout.split("\n")[:-1]

    def test_options_comments_and_directives(self):
        self.assertEqual(
            self.options_of("# -x\n-d\nlogfile /var/log/m.log\n  -m 64  # MiB\n-u nobody\n"
                            "-l 127.0.0.1,::1\n\n-D ':'\n-vv\n-o modern,idle_timeout=5\n-P /run/x",
                            "-c", "7"),
            ["-m", "64", "-u", "nobody", "-l", "127.0.0.1,::1", "-D", ":", "-vv",
             "-o", "modern,idle_timeout=5", "-P", "/run/x", "-c", "7"])

    def test_nothing_in_the_file_is_run(self):
        self.assertEqual(self.options_of("-u nobody\n-s /tmp/$(id)`id`*\n"),
                         ["-u", "nobody", "-s", "/tmp/$(id)`id`*"])

    @unittest.skipUnless(os.getuid() == 0, "only root's start must name a user")
    def test_root_stays_root_if_the_file_names_no_user(self):
        self.assertEqual(self.options_of("-m 10\n"), ["-m", "10", "-u", "root"])
        self.assertEqual(self.options_of("#\n"), ["-u", "root"])

    @unittest.skipUnless(os.getuid() == 0, "the file names a user to become")
    def test_debians_file_starts_it_unchanged(self):
        port = free_port()  # given behind it: 11211 may be taken on this machine
        [program] = server_command()
        process = subprocess.Popen([WRAPPER, CONF, "-p", str(port)], stderr=subprocess.DEVNULL,
                                   env=dict(os.environ, LARDERD=program))
        try:
            with connect(port) as client:
                client.sendall(b"stats settings\r\n")
                reply = b""
                while not reply.endswith(b"END\r\n"):
                    reply += client.recv(65536)
            self.assertIn(b"STAT maxbytes 67108864\r\n", reply)
            self.assertIn(b"STAT inter 127.0.0.1", reply)
            with open(f"/proc/{process.pid}/status") as status:
                user = next(line for line in status if line.startswith("Uid:")).split()[1]
            self.assertNotEqual(user, "0")
        finally:
            process.terminate()
            self.assertEqual(process.wait(10), 0)


if __name__ == "__main__":
    main()
