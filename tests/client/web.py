"""nginx in front of PHP-FPM, for tests that need a web site: both run in a folder, on loopback."""

import http.client
import os
import pwd

import support

NGINX = support.need_program("nginx", "nginx-light")
PHP_FPM = support.need_program("php-fpm8.2", "php8.2-fpm")
PHP = support.need_program("php", "php-cli")

ROOT = os.geteuid() == 0
USER = pwd.getpwuid(os.geteuid()).pw_name

# What a server has around the configuration of a site.
NGINX_CONF = """
{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/shop.conf;
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
pm.max_children = {children}
"""


class Site:
    """The site of `folder`/shop.conf, whose PHP listens on `folder`/php.sock.

    port         where shop.conf has nginx listen
    children     how many requests PHP works on at a time
    add_cleanup  a class' addClassCleanup, which is to stop it
    environment  of PHP-FPM
    """

    def __init__(self, add_cleanup, folder, port, children, environment=None):
        self.port = port
        self._write(folder, "fpm.conf", FPM_CONF.format(
            folder=folder, children=children, user=f"user = {USER}\ngroup = {USER}" if ROOT else ""))
        self._write(folder, "nginx.conf", NGINX_CONF.format(
            folder=folder, user=f"user {USER};" if ROOT else ""))
        support.start_beside(
            add_cleanup, [PHP_FPM, "-F", "-y", f"{folder}/fpm.conf"] + (["-R"] if ROOT else []),
            f"{folder}/fpm.out", env=environment)
        support.start_beside(
            add_cleanup, [NGINX, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
            f"{folder}/nginx.out")

    def fetch(self, path, method="GET", body=None, **headers):
        """The answer, with the bytes of its content as `body`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Host": "shop.example", **headers})
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            connection.close()

    def ask(self, path, method="GET", body=None, **headers):
        """Likewise, with its content as text."""
        answer = self.fetch(path, method, body, **headers)
        answer.body = answer.body.decode()
        return answer

    @staticmethod
    def _write(folder, name, content):
        with open(os.path.join(folder, name), "w") as file:
            file.write(content)
