"""liblarder-client as another program finds it: installed into a folder, it is found by pkg-config
and by CMake, static and shared, and a program that was built against it reaches a server."""

import os
import subprocess
import tempfile
import unittest

import support

CMAKE = support.need_program("cmake", "cmake")
PKG_CONFIG = support.need_program("pkg-config", "pkg-config")
CXX = support.need_program("g++", "g++")

PROGRAM = """
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tools/client/connection.h"
#include "tools/client/ring.h"

using namespace larder::client;

int main(int, char** argv) {
  const RingResult ring = Ring::make(kDefaultRing, {{"a", 1}, {"b", 2}});
  if (!ring.ring) return 1;
  const Endpoint endpoint{"127.0.0.1", static_cast<uint16_t>(std::atoi(argv[1]))};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  auto opened = Connection::open(endpoint, {}, deadline);
  if (!opened) return 2;
  const Operation operations[] = {{.verb = Verb::Set, .key = "k", .value = argv[2]},
                                  {.verb = Verb::Get, .key = "k"}};
  Answer answers[2];
  (*opened)->run(operations, answers, deadline);
  std::puts(answers[1].value.c_str());
  return answers[1].outcome == Outcome::Done ? 0 : 3;
}
"""

CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(larder-client 0.1 REQUIRED)
add_executable(shared program.cc)
target_link_libraries(shared PRIVATE larder::client)
add_executable(static program.cc)
target_link_libraries(static PRIVATE larder::client_static)
"""


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        support.fail(f"{' '.join(words)} fails:\n{done.stdout}{done.stderr}")
    return done.stdout


class Package(support.ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        build, cls.prefix = cls.path("build"), cls.path("prefix")
        run(CMAKE, "-G", "Ninja", "-S", support.REPOSITORY, "-B", build, "-DLARDER_INSTALL_CLIENT=ON",
            "-DCMAKE_BUILD_TYPE=", "-DCMAKE_INSTALL_LIBDIR=lib")
        run(CMAKE, "--build", build, "--target", "larder_client_static", "larder_client_shared")
        run(CMAKE, "--install", build, "--component", "client", "--prefix", cls.prefix)
        os.mkdir(cls.path("program"))
        for name, text in (("program.cc", PROGRAM), ("CMakeLists.txt", CMAKE_LISTS)):
            with open(cls.path("program/" + name), "w", encoding="utf-8") as file:
                file.write(text)
        cls.environment = dict(os.environ, PKG_CONFIG_PATH=cls.prefix + "/lib/pkgconfig",
                               LD_LIBRARY_PATH=cls.prefix + "/lib")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def check(self, program, word):
        said = run(self.path(program), str(self.server.port), word, env=self.environment)
        self.assertEqual(said, word + "\n")

    def needs_library(self, program):
        return "liblarder-client.so" in run("ldd", self.path(program), env=self.environment)

    def flags(self, *options):
        return run(PKG_CONFIG, *options, "larder-client", env=self.environment).split()

    def test_pkg_config(self):
        source = self.path("program/program.cc")
        common = [CXX, "-std=c++20", source, *self.flags("--cflags")]
        run(*common, "-o", self.path("by-pkg-config"), *self.flags("--libs"))
        self.check("by-pkg-config", "shared")
        self.assertTrue(self.needs_library("by-pkg-config"))
        static = [word if word != "-llarder-client" else "-l:liblarder-client.a"
                  for word in self.flags("--libs", "--static")]
        run(*common, "-o", self.path("by-pkg-config-static"), *static)
        self.check("by-pkg-config-static", "static")
        self.assertFalse(self.needs_library("by-pkg-config-static"))

    def test_cmake(self):
        run(CMAKE, "-G", "Ninja", "-S", self.path("program"), "-B", self.path("by-cmake"),
            "-DCMAKE_PREFIX_PATH=" + self.prefix)
        run(CMAKE, "--build", self.path("by-cmake"))
        self.check("by-cmake/shared", "shared")
        self.assertTrue(self.needs_library("by-cmake/shared"))
        self.check("by-cmake/static", "static")
        self.assertFalse(self.needs_library("by-cmake/static"))

    def test_headers_are_those_that_programs_include(self):
        headers = os.listdir(self.prefix + "/include/larder/tools/client")
        self.assertIn("connection.h", headers)
        self.assertIn("operation.h", headers)
        self.assertNotIn("spelling.h", headers)
        self.assertNotIn("transport.h", headers)
        for header in headers:
            run(CXX, "-std=c++20", "-fsyntax-only", "-x", "c++",
                f"{self.prefix}/include/larder/tools/client/{header}",
                f"-I{self.prefix}/include/larder")


if __name__ == "__main__":
    support.main()
