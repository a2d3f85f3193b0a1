"""docs/securing.md: sockets, firewall, passwords and TLS, each from the guide's lines."""

import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import unittest

import guide
import support

ROOT = os.geteuid() == 0
NFT = support.need_program("nft", "nftables")
PHP = support.need_program("php", "php-cli")
support.need_program("openssl", "openssl")
support.need_program("saslpasswd2", "sasl2-bin")
support.need_module("pymemcache", "python3-pymemcache")
if support.run([PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")
try:
    OWNER = pwd.getpwnam("memcache") if ROOT else pwd.getpwuid(os.geteuid())
except KeyError:
    support.fail("there is no user memcache; install the package memcached")

USED = set()  # the guide's blocks that some test has used


class Securing(unittest.TestCase):
    """Each test starts one of the guide's servers."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="larder-guide-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)
        self.port = support.free_port()
        instead = {
            "larderd -d": shlex.join(support.server_command()) + " -d",
            "127.0.0.1/11211": f"127.0.0.1/{self.port}",
            "'127.0.0.1', 11211": f"'127.0.0.1', {self.port}",
            '"127.0.0.1", 11211': f'"127.0.0.1", {self.port}',
            "-p 11211": f"-p {self.port}",
            "/etc/larder": self.folder,
            "/run/larder": f"{self.folder}/run"}
        if not ROOT:
            name = OWNER.pw_name
            instead |= {"-o memcache -g memcache ": "", "-u memcache": f"-u {name}",
                        "chown memcache": f"chown {name}"}
        self.guide = guide.Guide("securing.md", instead)
        self.addCleanup(self.remember)

    def remember(self):
        USED.update(set(self.guide.files) - self.guide.unused)

    @classmethod
    def tearDownClass(cls):
        unused = set(guide.Guide("securing.md", {}).files) - USED
        if unused:
            raise AssertionError(f"no test uses {sorted(unused)}")

    def run_block(self, name, **options):
        with open(os.path.join(self.folder, "log"), "w+") as log:
            code = subprocess.run(["bash", "-euc", self.guide.text(name)], stdout=log,
                                          stderr=log, timeout=60, **options).returncode
            log.seek(0)
            printed = log.read()
        self.assertEqual(code, 0, printed)
        return printed

    def start(self, name):
        self.run_block(name)
        pid_file = os.path.join(self.folder, "run", "pid")
        with open(pid_file) as file:
            pid = int(file.read())

        def stop():
            os.kill(pid, signal.SIGTERM)
            support.wait_until(lambda: not os.path.exists(pid_file), "the end of the server")
        self.addCleanup(stop)
        return pid

    def tell(self, request, end=b"\r\n"):
        """What the server answers over TCP until `end`, or until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            return self.exchange(plain, request, end)

    @staticmethod
    def exchange(connection, request, end=b"\r\n"):
        connection.sendall(request)
        answer = b""
        while not answer.endswith(end):
            more = connection.recv(65536)
            if not more:
                break
            answer += more
        return answer

    def test_the_socket_is_for_the_owner_and_the_group(self):
        self.start("start_socket.sh")
        path = os.path.join(self.folder, "run", "socket")
        state = os.stat(path)
        self.assertEqual(stat.S_IMODE(state.st_mode), 0o660)
        self.assertEqual((state.st_uid, state.st_gid), (OWNER.pw_uid, OWNER.pw_gid))
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o750)
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(10)
            plain.connect(path)
            self.assertTrue(self.exchange(plain, b"version\r\n").startswith(b"VERSION "))

    def test_a_stranger_cannot_open_the_socket(self):
        if not ROOT:
            return  # we cannot become another user
        self.start("start_socket.sh")
        path = os.path.join(self.folder, "run", "socket")
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
        done = support.run([sys.executable, "-c", script], user="www-data", group="www-data",
                           extra_groups=[])
        self.assertIn("PermissionError", done.stdout)
        done = support.run([sys.executable, "-c", script], user="www-data", group="www-data",
                           extra_groups=[OWNER.pw_gid])
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_nft_takes_the_rules(self):
        path = self.guide.write(self.folder, "larder.nft")
        done = support.run([NFT, "-c", "-f", path])
        if "Operation not permitted" in done.stdout:  # a network of our own will do
            done = support.run(["unshare", "-rn", NFT, "-c", "-f", path])
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_the_file_of_users_lets_in_who_knows_the_password(self):
        users = self.guide.write(self.folder, "users")
        pid = self.start("start_users.sh")
        self.assertEqual(stat.S_IMODE(os.stat(users).st_mode), 0o400)
        self.assertEqual(self.run_block("ask_users.sh").splitlines(),
                         ["STORED", "STORED", "VALUE key 0 5", "value", "END"])
        self.assertTrue(self.tell(b"get key\r\n").startswith(b"CLIENT_ERROR"))
        wrong = b"set auth 0 0 9\r\nweb wrong\r\n"
        self.assertTrue(self.tell(wrong).startswith(b"CLIENT_ERROR"))
        os.chmod(users, 0o600)
        with open(users, "w") as file:
            file.write("web:wrong\n")
        os.kill(pid, signal.SIGHUP)
        support.wait_until(lambda: self.tell(wrong) == b"STORED\r\n", "reading the file again")

    def test_php_gets_in_by_sasl(self):
        self.guide.write(self.folder, "memcached.conf")
        self.start("start_sasl.sh")
        path = self.guide.write(self.folder, "sasl.php")
        self.assertEqual(support.run([PHP, path]).stdout, "value\n")
        with open(path) as file:
            text = file.read()
        for right, wrong in (("not-this-one", "wrong"), ("$cache->setSasl", "//")):
            with open(path, "w") as file:
                file.write(text.replace(right, wrong))
            self.assertNotIn("value", support.run([PHP, path]).stdout)
        self.assertEqual(self.tell(b"get key\r\n", b"END\r\n"), b"")

    def test_over_tls_a_client_knows_whom_it_talks_to(self):
        self.run_block("certificates.sh")
        self.start("start_tls.sh")
        path = self.guide.write(self.folder, "tls.py")
        done = support.run([sys.executable, path])
        self.assertEqual((done.returncode, done.stdout), (0, "value\n"))
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("cache.shop.example", "another.example"))
        self.assertIn("CERTIFICATE_VERIFY_FAILED", support.run([sys.executable, path]).stdout)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.path.join(self.folder, "ca.pem"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            with self.assertRaises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="cache.shop.example")

    def test_with_client_certificates_nobody_else_gets_in(self):
        block = self.guide.files["start_tls.sh"]
        more = re.search(r"`(ssl_ca_cert=\S+)`", self.guide.prose).group(1)
        self.guide.files["start_tls.sh"] = block.replace(
            "-o ssl", "-o " + more.replace("/etc/larder", self.folder) + ",ssl")
        self.run_block("certificates.sh")
        self.start("start_tls.sh")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.path.join(self.folder, "ca.pem"))

        def version():
            with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname="cache.shop.example") as secure:
                        return self.exchange(secure, b"version\r\n")
                except (ssl.SSLError, ConnectionError):
                    return b""
        self.assertEqual(version(), b"")
        # The authority has signed the server's, which will do as a client's.
        context.load_cert_chain(*(os.path.join(self.folder, f"server.{end}") for end in ("pem", "key")))
        self.assertTrue(version().startswith(b"VERSION "))

    def test_what_nobody_needs_is_refused(self):
        self.start("start_bare.sh")
        for command in (b"flush_all", b"stats cachedump 1 0", b"lru_crawler metadump all", b"watch",
                        b"shutdown"):
            answer = self.tell(command + b"\r\n")
            self.assertRegex(answer, rb"\A(CLIENT_|SERVER_)?ERROR", command)


if __name__ == "__main__":
    support.main()
