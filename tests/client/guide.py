"""The guides of docs/, whose fenced blocks are what their tests execute.

A block says in its fence which file it is: ```nginx file=shop.conf. A test writes it where it needs
it, runs it, and checks what the guide claims. The guide shows the addresses and paths that stand on a
server; a test has others, so it says what takes whose place, and that is all that is changed.
"""

import os
import re

import support

FENCE = re.compile(r"^```(\S*)(?: file=(\S+))?\n(.*?)^```$", re.M | re.S)


class Guide:
    """One guide and the files in it.

    files    name of the block -> its text
    prose    what stands between the blocks
    instead  what stands in the guide -> what the test has in its place. Each must stand in some block,
             so that a guide cannot be changed without its test.
    """

    def __init__(self, name, instead):
        with open(os.path.join(support.REPOSITORY, "docs", name)) as file:
            text = file.read()
        self.prose = FENCE.sub("", text)
        self.files = {}
        for language, file, block in FENCE.findall(text):
            if not file:
                raise AssertionError(f"{name}: a block of {language or 'text'} has no file=")
            if file in self.files:
                raise AssertionError(f"{name}: there are two blocks file={file}")
            self.files[file] = block
        for word in instead:
            if not any(word in block for block in self.files.values()):
                raise AssertionError(f"{name}: {word!r} stands in no block")
        # In one pass and the longest first, so that nothing is replaced twice.
        words = sorted(instead, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, words)) or "(?!)")
        self.files = {file: pattern.sub(lambda match: str(instead[match.group()]), block)
                      for file, block in self.files.items()}
        self.unused = set(self.files)

    def text(self, file):
        """A block as the test is to use it."""
        self.unused.discard(file)
        return self.files[file]

    def write(self, folder, *files):
        """Writes blocks as files into a folder; returns the path of the last."""
        path = None
        for file in files:
            path = os.path.join(folder, file)
            with open(path, "w") as written:
                written.write(self.text(file))
        return path

    def run(self, file, **options):
        """Runs a block of shell lines to its end, which must be a success; returns what it printed."""
        done = support.run(["bash", "-euo", "pipefail", "-c", self.text(file)], **options)
        if done.returncode != 0:
            raise AssertionError(f"{file} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def complaint(self):
        """What no test has used; None if there is nothing."""
        return f"no test uses {sorted(self.unused)}" if self.unused else None
