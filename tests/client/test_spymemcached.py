"""Java: spymemcached, text and binary, on one server and on a ring of two. It knows no unix sockets."""

import os
import tempfile

import support

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


class Spymemcached(support.ScriptCase):
    def run_java(self, *arguments):
        # Short runs: no time is spent on compiling to the last.
        self.run_script(JAVA, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp",
                        f"{LIBRARY}:{FOLDER}", "Spymemcached", *arguments)


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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="larder-java-") as FOLDER:
        compile_into(FOLDER)
        support.main()
