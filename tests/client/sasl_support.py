"""A server that asks for SASL (-S) and has a user database of its own: what clients are tried on."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import support

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


class SaslCase(unittest.TestCase):
    """One server with -S and a user database, for all tests of a class."""

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
            cls.server = QuietServer("-S")
        finally:
            if before is None:
                del os.environ["SASL_CONF_PATH"]
            else:
                os.environ["SASL_CONF_PATH"] = before

    @classmethod
    def tearDownClass(cls):
        complaint = cls.server.stop()
        if complaint:
            raise AssertionError(complaint)
