"""nginx's http-memc module, which lets requests over HTTP store, change, delete and ask."""

import http.client
import os
import pwd

import support

NGINX = support.need_program("nginx", "nginx-light")
MODULE = "/usr/lib/nginx/modules/ngx_http_memc_module.so"

if not os.path.exists(MODULE):
    support.fail(f"{MODULE} is not there; install the package libnginx-mod-http-memc")

# The command, key and so on are arguments of the URL, and the value is the body.
CONF = """
load_module {module};
{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_max_body_size 4m;
    client_body_buffer_size 4m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream cache {{ server {cache}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location = /ready {{ return 200; }}
        location = /memc {{
            set $memc_cmd $arg_cmd;
            set $memc_key $arg_key;
            set $memc_flags $arg_flags;
            set $memc_exptime $arg_exptime;
            memc_pass cache;
        }}
        location = /count {{
            set $memc_cmd $arg_cmd;
            set $memc_key $arg_key;
            set $memc_value $arg_by;
            memc_pass cache;
        }}
        # By the method: GET asks, PUT stores, POST adds, DELETE deletes.
        location /item/ {{
            set $memc_key $uri;
            memc_pass cache;
        }}
    }}
}}
"""


class Memc(support.ServerCase):
    def setUp(self):
        super().setUp()
        self.port = support.free_port()
        folder = self.server.folder
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(CONF.format(
                module=MODULE, folder=folder, port=self.port,
                user=f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
                cache=f"unix:{self.server.path}" if self.server.path else self.server.address))
        support.start_beside(
            self.addCleanup, [NGINX, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
            f"{folder}/nginx.log")
        support.wait_until(lambda: self.ask("GET", "/ready")[0] == 200, "an answer of nginx")

    def ask(self, method, path, body=None):
        """Status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def command(self, name, key="", body=b"", **arguments):
        more = "".join(f"&{argument}={value}" for argument, value in arguments.items())
        method = "POST" if name in ("set", "add", "replace", "append", "prepend") else "GET"
        return self.ask(method, f"/memc?cmd={name}&key={key}{more}",
                        body if method == "POST" else None)

    def count(self, name, key, by):
        return self.ask("GET", f"/count?cmd={name}&key={key}&by={by}")


class Commands:
    def test_values_of_any_size_and_content_are_stored_and_come_back(self):
        for size in (0, 1, 4000, 100_000, support.NEARLY_ONE_MEGABYTE):
            value = os.urandom(size)
            self.assertEqual(self.command("set", "k", value), (201, b"STORED\r\n"))
            self.assertEqual(self.command("get", "k"), (200, value))
        self.command("set", "k", support.ALL_BYTES)
        self.assertEqual(self.command("get", "k"), (200, support.ALL_BYTES))

    def test_two_megabytes_are_refused(self):
        self.command("set", "k", b"old")
        status, _ = self.command("set", "k", bytes(2 * 1024 * 1024))
        self.assertGreaterEqual(status, 500)
        self.assertEqual(self.command("get", "k")[0], 404)

    def test_flags_are_kept(self):
        self.command("set", "k", b"value", flags=77)
        self.assertEqual(self.server.ask(b"get k\r\n", b"END\r\n"),
                         b"VALUE k 77 5\r\nvalue\r\nEND\r\n")

    def test_what_is_stored_with_an_expiry_expires(self):
        self.command("set", "short", b"value", exptime=1)
        self.command("set", "long", b"value", exptime=100)
        support.wait_until(lambda: self.command("get", "short")[0] == 404, "the expiry", 5)
        self.assertEqual(self.command("get", "long"), (200, b"value"))

    def test_add_and_replace_heed_what_is_there(self):
        self.assertEqual(self.command("replace", "k", b"one"), (200, b"NOT_STORED\r\n"))
        self.assertEqual(self.command("add", "k", b"two"), (201, b"STORED\r\n"))
        self.assertEqual(self.command("add", "k", b"three"), (200, b"NOT_STORED\r\n"))
        self.assertEqual(self.command("get", "k"), (200, b"two"))
        self.assertEqual(self.command("replace", "k", b"four"), (201, b"STORED\r\n"))
        self.assertEqual(self.command("get", "k"), (200, b"four"))

    def test_append_and_prepend_put_pieces_together(self):
        self.command("set", "k", b"b")
        self.assertEqual(self.command("append", "k", b"c"), (201, b"STORED\r\n"))
        self.assertEqual(self.command("prepend", "k", b"a"), (201, b"STORED\r\n"))
        self.assertEqual(self.command("get", "k"), (200, b"abc"))

    def test_counters_go_up_and_down(self):
        self.assertEqual(self.count("incr", "n", 1)[0], 404)
        self.command("set", "n", b"10")
        self.assertEqual(self.count("incr", "n", 32), (201, b"42\r\n"))
        self.assertEqual(self.count("decr", "n", 2), (201, b"40\r\n"))
        self.assertEqual(self.count("decr", "n", 1000), (201, b"0\r\n"))

    def test_what_is_deleted_or_flushed_is_gone(self):
        self.assertEqual(self.command("delete", "k")[0], 404)
        for key in ("a", "b"):
            self.command("set", key, b"value")
        self.assertEqual(self.command("delete", "a"), (200, b"DELETED\r\n"))
        self.assertEqual(self.command("get", "a")[0], 404)
        self.assertEqual(self.command("get", "b")[0], 200)
        self.assertEqual(self.command("flush_all"), (200, b"OK\r\n"))
        self.assertEqual(self.command("get", "b")[0], 404)

    def test_statistics_and_version_come_through(self):
        status, body = self.command("stats")
        self.assertEqual(status, 200)
        self.assertRegex(body, rb"\ASTAT pid \d+\r\n(STAT \S+ .*\r\n)+END\r\n\Z")
        status, body = self.command("version")
        self.assertEqual(status, 200)
        self.assertRegex(body, rb"\AVERSION \S+\r\n\Z")

    def test_the_method_can_be_the_command(self):
        self.assertEqual(self.ask("GET", "/item/one")[0], 404)
        self.assertEqual(self.ask("POST", "/item/one", b"added"), (201, b"STORED\r\n"))
        self.assertEqual(self.ask("POST", "/item/one", b"again"), (200, b"NOT_STORED\r\n"))
        self.assertEqual(self.ask("PUT", "/item/one", b"set"), (201, b"STORED\r\n"))
        self.assertEqual(self.ask("GET", "/item/one"), (200, b"set"))
        self.assertEqual(self.ask("DELETE", "/item/one"), (200, b"DELETED\r\n"))
        self.assertEqual(self.ask("GET", "/item/one")[0], 404)


class OverTcp(Commands, Memc):
    pass


class OverUnixSocket(Commands, Memc):
    over_unix_socket = True


if __name__ == "__main__":
    support.main()
