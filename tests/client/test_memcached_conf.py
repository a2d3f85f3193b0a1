#!/usr/bin/env python3
"""Debian's /etc/memcached.conf starts larderd with --config."""

import os
import socket
import subprocess
import tempfile
import time
import unittest

from support import START_TIMEOUT_SECONDS, free_port, main, need_program, server_command

need_program("memcached", "memcached")  # it brings the file
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
    def start(self, conf, *further):
        """larderd with the file; its process and port."""
        port = free_port()  # given on the command line: 11211 may be taken on this machine
        command = server_command() + ["--config", conf, "-p", str(port), *further]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def stop():
            process.terminate()
            self.assertEqual(process.wait(10), 0)
            process.stderr.close()
        self.addCleanup(stop)
        return process, port

    def settings(self, port):
        with connect(port) as client:
            client.sendall(b"stats settings\r\n")
            reply = b""
            while not reply.endswith(b"END\r\n"):
                reply += client.recv(65536)
        return dict(line.split(" ", 2)[1:] for line in reply.decode().split("\r\n")[:-2])

    def user_of(self, process):
        with open(f"/proc/{process.pid}/status") as status:
            return next(line for line in status if line.startswith("Uid:")).split()[1]

    def test_debians_file_starts_it_unchanged(self):
        process, port = self.start(CONF)
        settings = self.settings(port)
        self.assertEqual(settings["maxbytes"], "67108864")
        self.assertTrue(settings["inter"].startswith("127.0.0.1"))
        self.assertEqual(settings["daemon"], "no")  # -d is in the file
        if os.getuid() == 0:
            self.assertNotEqual(self.user_of(process), "0")

    def test_the_command_line_comes_after_the_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("-d\nlogfile /var/log/m.log\n -m 50% # of all\n-l 127.0.0.1\n"
                       "-u root\n-t 2\n-D '+'\n-o modern,idle_timeout=5\n")
            conf.flush()
            _, port = self.start(conf.name, "-t", "3")
            settings = self.settings(port)
        self.assertEqual(settings["num_threads"], "3")
        self.assertEqual(settings["idle_timeout"], "5")
        self.assertEqual(settings["stat_key_prefix"], "+")
        self.assertGreater(int(settings["maxbytes"]), 64 << 20)

    @unittest.skipUnless(os.getuid() == 0, "only root's start must name a user")
    def test_root_stays_root_if_the_file_names_no_user(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("-l 127.0.0.1\n")
            conf.flush()
            process, port = self.start(conf.name)
            self.assertEqual(self.settings(port)["user"], "NULL")
            self.assertEqual(self.user_of(process), "0")
            self.assertIn(b"names no user (-u); root stays root", process.stderr.readline())


if __name__ == "__main__":
    main()
