"""A PostgreSQL cluster of a test's own: in a folder of its own, on a unix socket only.

Since PostgreSQL refuses to run as root, the user postgres runs it then, who comes with its package.
"""

import os
import pwd
import shutil
import tempfile

import support

INITDB, POSTGRES, PSQL = (f"/usr/lib/postgresql/15/bin/{name}"
                          for name in ("initdb", "postgres", "psql"))
EXTENSIONS = "/usr/share/postgresql/15/extension"


def need(package, *extensions):
    """Fails unless PostgreSQL and its extensions are there; `package` is what to install."""
    for needed in (INITDB, POSTGRES, PSQL, *(f"{EXTENSIONS}/{name}.control" for name in extensions)):
        if not os.path.exists(needed):
            support.fail(f"{needed} is not there; install the package {package}")


class Cluster:
    """One running cluster, whose superuser is postgres and who trusts everybody.

    folder       where its socket is
    add_cleanup  a class' addClassCleanup, which is to stop it
    settings     name -> value, as in postgresql.conf
    """

    def __init__(self, add_cleanup, settings):
        run_as = {}
        self.folder = tempfile.mkdtemp(prefix="larder-postgres-")
        add_cleanup(shutil.rmtree, self.folder, ignore_errors=True)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            os.chmod(self.folder, 0o755)
            run_as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        data = os.path.join(self.folder, "data")
        done = support.run([INITDB, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                            "--locale=C", "--no-sync"], cwd=self.folder, **run_as)
        if done.returncode != 0:
            raise AssertionError(f"initdb failed:\n{done.stdout}")
        command = [POSTGRES, "-D", data]
        for name, value in {"listen_addresses": "", "unix_socket_directories": self.folder,
                            "fsync": "off", "shared_buffers": "16MB", **settings}.items():
            command += ["-c", f"{name}={value}"]
        support.start_beside(add_cleanup, command, os.path.join(self.folder, "log"),
                             cwd=self.folder, **run_as)
        support.wait_until(lambda: self.psql("SELECT 1").returncode == 0, "an answer of postgres")

    def psql(self, *statements, database="postgres"):
        """What one session as the superuser prints: a line per row, NULL as an empty one."""
        command = [PSQL, "-h", self.folder, "-U", "postgres", "-d", database, "-XAtq", "-v",
                   "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        # Each "not stored" of pgmemcache is a warning, too.
        return support.run(command, cwd=self.folder,
                           env=dict(os.environ, PGOPTIONS="-c client_min_messages=error"))
