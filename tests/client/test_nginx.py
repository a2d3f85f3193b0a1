"""nginx memcached_pass: pages that a script stored, and a page cache in front of PHP-FPM."""

import gzip
import http.client
import os
import pwd
import subprocess
import time

import support

NGINX = support.need_program("nginx", "nginx-light")
PHP_FPM = support.need_program("php-fpm8.2", "php8.2-fpm")
PHP = support.need_program("php", "php-cli")
SCRIPTS = os.path.join(support.HERE, "scripts")

if support.run([PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")

NGINX_CONF = """
{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    default_type text/html;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream cache {{ server {cache}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $memcached_key $uri;
            memcached_pass cache;
            memcached_gzip_flag 2;
            error_page 404 502 504 = @origin;
        }}
        location @origin {{
            add_header X-Made-By origin;
            return 200 "made by the origin for $uri\\n";
        }}
        location /page/ {{
            set $memcached_key $uri;
            memcached_pass cache;
            error_page 404 502 504 = @php;
        }}
        location @php {{
            add_header X-Made-By php;
            fastcgi_pass unix:{folder}/php.sock;
            fastcgi_param SCRIPT_FILENAME {scripts}/page.php;
            fastcgi_param REQUEST_METHOD GET;
            fastcgi_param REQUEST_URI $uri;
        }}
    }}
}}
"""

FPM_CONF = """
[global]
error_log = {folder}/fpm.log
daemonize = no
[www]
listen = {folder}/php.sock
{user}
pm = static
pm.max_children = 2
clear_env = no
"""


class Site(support.ServerCase):
    """nginx and PHP-FPM in front of the server, started for each test."""

    protocol = "text"

    def setUp(self):
        super().setUp()
        self.port = support.free_port()
        folder = self.server.folder
        user = pwd.getpwuid(os.geteuid()).pw_name
        as_root = os.geteuid() == 0
        environment = dict(os.environ, CACHE_HOST=self.server.path or "127.0.0.1",
                           CACHE_PORT=str(self.server.port or 0), CACHE_PROTOCOL=self.protocol)
        self.environment = environment
        self.write("fpm.conf", FPM_CONF.format(
            folder=folder, user=f"user = {user}\ngroup = {user}" if as_root else ""))
        self.write("nginx.conf", NGINX_CONF.format(
            folder=folder, port=self.port, scripts=SCRIPTS,
            user=f"user {user};" if as_root else "",
            cache=f"unix:{self.server.path}" if self.server.path else self.server.address))
        self.start([PHP_FPM, "-F", "-y", f"{folder}/fpm.conf"] + (["-R"] if as_root else []))
        self.start([NGINX, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
        self.wait_until_both_listen()

    def write(self, name, content):
        with open(os.path.join(self.server.folder, name), "w") as file:
            file.write(content)

    def start(self, command):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=self.environment)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)

    def wait_until_both_listen(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if (os.path.exists(os.path.join(self.server.folder, "php.sock"))
                        and self.fetch("/ready").status == 200):
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.fail("nginx or php-fpm did not start:\n" + "".join(
            open(os.path.join(self.server.folder, name)).read()
            for name in ("error.log", "fpm.log")
            if os.path.exists(os.path.join(self.server.folder, name))))

    def fetch(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.body = answer.read()
        return answer

    def store(self, key, value, flags=0):
        request = b"set %s %d 0 %d\r\n%s\r\n" % (key.encode(), flags, len(value), value)
        self.assertEqual(self.server.ask(request), b"STORED\r\n")


class Pages:
    def test_a_page_that_a_script_stored_is_served(self):
        done = support.run([PHP, os.path.join(SCRIPTS, "page.php"), "/stored.html"],
                           env=self.environment)
        self.assertEqual(done.returncode, 0, done.stdout)
        answer = self.fetch("/stored.html")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, None))
        self.assertEqual(answer.body.decode(), done.stdout)

    def test_a_page_that_is_not_stored_comes_from_the_origin(self):
        answer = self.fetch("/missing.html")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, "origin"))
        self.assertEqual(answer.body, b"made by the origin for /missing.html\n")

    def test_pages_of_any_size_and_content_arrive_whole(self):
        for size in (0, 1, 4000, 8192, 100_000, support.NEARLY_ONE_MEGABYTE):
            page = os.urandom(size)
            self.store("/bytes", page)
            self.assertEqual(self.fetch("/bytes").body, page)
        self.store("/all", support.ALL_BYTES)
        self.assertEqual(self.fetch("/all").body, support.ALL_BYTES)

    def test_a_page_with_the_gzip_flag_is_sent_as_gzip(self):
        packed = gzip.compress(b"<p>packed</p>" * 1000)
        self.store("/packed", packed, flags=2)
        answer = self.fetch("/packed")
        self.assertEqual(answer.getheader("Content-Encoding"), "gzip")
        self.assertEqual(gzip.decompress(answer.body), b"<p>packed</p>" * 1000)

    def test_php_makes_a_page_once_and_nginx_serves_it_from_then_on(self):
        first, second, third = (self.fetch("/page/one") for _ in range(3))
        self.assertEqual((first.status, first.getheader("X-Made-By")), (200, "php"))
        self.assertEqual((second.getheader("X-Made-By"), third.getheader("X-Made-By")),
                         (None, None))
        self.assertGreater(len(first.body), 500_000)
        self.assertEqual(first.body, second.body)
        self.assertEqual(first.body, third.body)
        self.assertEqual(self.server.ask(b"delete /page/one\r\n"), b"DELETED\r\n")
        again = self.fetch("/page/one")
        self.assertEqual(again.getheader("X-Made-By"), "php")
        self.assertNotEqual(again.body, first.body)

    def test_many_requests_over_kept_connections(self):
        self.store("/often", b"often")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        for number in range(500):
            connection.request("GET", "/often" if number % 2 else f"/missing-{number}")
            body = connection.getresponse().read()
            self.assertEqual(
                body, b"often" if number % 2 else b"made by the origin for /missing-%d\n" % number)


class OverTcp(Pages, Site):
    pass


class OverUnixSocket(Pages, Site):
    over_unix_socket = True
    protocol = "binary"


class WithoutCache(Site):
    @classmethod
    def tearDownClass(cls):
        cls.server.stop()  # the test has stopped it already

    def test_a_page_comes_from_the_origin_when_the_cache_is_gone(self):
        self.assertEqual(self.fetch("/any").getheader("X-Made-By"), "origin")
        self.server.process.terminate()
        self.server.process.wait(10)
        answer = self.fetch("/any")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, "origin"))


if __name__ == "__main__":
    support.main()
