#!/usr/bin/env python3
"""Man pages and completions as their readers take them: mandoc, groff, bash and zsh find no fault.

MANUAL names the folder that they were built in.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
from support import fail, main, need_program, run  # noqa: E402

MANUAL = os.environ.get("MANUAL") or fail("MANUAL must name the folder of the manuals")
PROGRAMS = ("larderd", "larder-bench", "larder")

mandoc = need_program("mandoc", "mandoc")
groff = need_program("groff", "groff-base")
bash = need_program("bash", "bash")
zsh = need_program("zsh", "zsh")


class Pages(unittest.TestCase):
    def test_mandoc_and_groff_find_no_fault(self):
        for program in PROGRAMS:
            page = os.path.join(MANUAL, program + ".1")
            done = run([mandoc, "-Tlint", "-Wwarning", page])
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            done = run([groff, "-man", "-Tutf8", "-ww", "-z", page])
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_what_is_read_is_what_the_help_says(self):
        done = run([groff, "-man", "-Tascii", "-P-cbou", os.path.join(MANUAL, "larderd.1")])
        text = " ".join(done.stdout.split())
        self.assertIn("larderd - a cache daemon that speaks memcached", text)
        self.assertIn("-t, --threads=num worker threads (default: 4)", text)
        self.assertIn("hashpower=value has no effect", text)
        self.assertIn("refuse the command \"flush_all\"", text)


class Bash(unittest.TestCase):
    def offered(self, program, *words):
        """What is offered for the last word."""
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
                 '"$FUNCTION"; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(
            [bash, "--norc", "-uc", script, "bash", os.path.join(MANUAL, program + ".bash"),
             program, *words], capture_output=True, text=True, timeout=20, check=False,
            env=dict(os.environ, FUNCTION="_" + program.replace("-", "_")))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_options_by_their_beginning(self):
        self.assertEqual(self.offered("larderd", "--thr"), ["--threads"])
        self.assertEqual(self.offered("larderd", "-t", "4", "--disable-w"), ["--disable-watch"])
        self.assertEqual(self.offered("larderd", "-t", ""), [])  # a number, of which we know none
        self.assertEqual(self.offered("larderd", "--threads", "=", ""), [])
        self.assertIn("-m", self.offered("larderd", "-"))

    def test_words_of_dash_o(self):
        self.assertEqual(self.offered("larderd", "-o", "idle"), ["idle_timeout="])
        self.assertEqual(self.offered("larderd", "-o", "idle_timeout=5,maxc"),
                         ["idle_timeout=5,maxconns_fast"])

    def test_files_and_users(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "larder.conf")
            with open(file, "w", encoding="ascii"):
                pass
            self.assertEqual(self.offered("larderd", "--config", "=", file[:-2]), [file])
            self.assertEqual(self.offered("larder-bench", "run", "--json", file[:-2]), [file])
        self.assertIn("root", self.offered("larderd", "-u", "roo"))

    def test_subcommands_have_options_of_their_own(self):
        self.assertEqual(self.offered("larder-bench", "gro"), ["growth"])
        self.assertEqual(self.offered("larder-bench", "--ro"), [])
        self.assertEqual(self.offered("larder-bench", "compare", "--ro"), ["--rounds"])
        self.assertEqual(self.offered("larder", "wh"), ["where"])
        self.assertEqual(self.offered("larder", "ring", "--fo"), ["--format"])


class Zsh(unittest.TestCase):
    def test_tab_completes_as_the_file_says(self):
        with tempfile.TemporaryDirectory() as folder:
            for program in PROGRAMS:
                shutil.copy(os.path.join(MANUAL, "_" + program), folder)
                done = run([zsh, "-fn", os.path.join(folder, "_" + program)])
                self.assertEqual((done.returncode, done.stdout), (0, ""))
            for line, completed in (("larderd --thr", "larderd --threads="),
                                    ("larderd -t 4 --disable-w", "larderd -t 4 --disable-watch"),
                                    ("larderd -o track_s", "larderd -o track_sizes,"),
                                    ("larderd -o idle_t", "larderd -o idle_timeout="),
                                    ("larder-bench gro", "larder-bench growth"),
                                    ("larder-bench compare --markd",
                                     "larder-bench compare --markdown"),
                                    ("larder ring --fo", "larder ring --format=")):
                self.assertEqual(self.after_tab(folder, line), completed)

    def after_tab(self, folder, line):
        """What stands on the command line of an interactive zsh after `line` and the key Tab."""
        script = r"""
            zmodload zsh/zpty
            zpty inner zsh -f -i
            zpty -w inner "PS1= PS2= ; TERM=dumb; unsetopt zle; setopt zle
                fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $1/dump
                show() { print -r -- \"<\$BUFFER>\"; zle kill-buffer; }; zle -N show
                bindkey '^X' show; bindkey '^I' complete-word; print re''ady"
            zpty -r -m inner seen '*ready*'
            zpty -w -n inner "$2"$'\t\x18'
            zpty -r -m inner seen '*<*>*'
            print -r -- "${${seen##*<}%%>*}"
            zpty -d inner
        """
        done = run([zsh, "-fc", script, "zsh", folder, line], timeout=30)
        return done.stdout.strip()


if __name__ == "__main__":
    main()
