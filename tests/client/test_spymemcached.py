"""Java: spymemcached, text and binary, on one server and on a ring of two; binary with SASL.

It knows no unix sockets.
"""

import os
import tempfile

import support
from auth_support import PASSWORD, SASL_USER, SaslCase

JAVA = support.need_program("java", "default-jdk-headless")
JAVAC = support.need_program("javac", "default-jdk-headless")
LIBRARY = "/usr/share/java/spymemcached.jar"
SOURCE = os.path.join(support.HERE, "scripts", "Spymemcached.java")

if not os.path.exists(LIBRARY):
    support.fail(f"{LIBRARY} is not there; install the package libspymemcached-java")


def compile_into(folder):
    done = support.run([JAVAC, "-encoding", "UTF-8", "-cp", LIBRARY, "-d", folder, SOURCE])
    if done.returncode != 0:
        support.fail(f"javac refused {SOURCE}:\n{done.stdout}")


def java(*arguments, **properties):
    """The command that runs the script, which is too short to be worth the second compiler."""
    return [JAVA, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp", f"{LIBRARY}:{FOLDER}", "Spymemcached", *arguments]


class Spymemcached(support.ScriptCase):
    def run_java(self, *arguments):
        self.run_script(*java(*arguments))


class OneServer(Spymemcached):
    def test_text(self):
        self.run_java("text", self.server.address)

    def test_binary(self):
        self.run_java("binary", self.server.address)


class RingOfTwo(Spymemcached):
    def test_text(self):
        with support.Server() as second:
            self.run_java("text", self.server.address, second.address)

    def test_binary(self):
        with support.Server() as second:
            self.run_java("binary", self.server.address, second.address)


class Sasl(SaslCase):
    def test_a_user_is_served(self):
        done = support.run(java("binary", self.server.address, user=SASL_USER, password=PASSWORD))
        self.assertEqual((done.returncode, support.complaints_of_tap(done.stdout)), (0, []),
                         done.stdout)

    def test_a_stranger_is_not(self):
        done = support.run(java("binary", self.server.address, user=SASL_USER, password="baz",
                                patience=1))
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("\nok", "\n" + done.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-java-") as FOLDER:
        compile_into(FOLDER)
        support.main()
