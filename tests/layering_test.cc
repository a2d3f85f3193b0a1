// The dependency rule: core and proto know nothing of each other and touch no I/O; daemon joins
// them; the client library knows nothing of the server. Reads the #include lines, so a type in the
// wrong folder shows here first.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/source_file.h"

namespace {

namespace fs = std::filesystem;
using larder::test::source_file;
using Words = std::vector<std::string>;

struct Include {
  std::string file;
  std::string header;
  bool quoted = false;
};

// What a layer may include: folders of ours, and system headers other than the denied prefixes.
struct Layer {
  std::string folder;
  Words own;
  Words denied;
};

const Layer kLayers[] = {
    {"core",
     {"core/"},
     {"event", "CLI/", "sys/socket.h", "sys/un.h", "sys/uio.h", "sys/epoll.h", "netinet/", "arpa/",
      "netdb.h", "poll.h", "iostream", "fstream"}},
    {"proto",
     {"proto/"},
     {"event",    "CLI/",   "xxhash.h", "sys/socket.h", "sys/un.h", "sys/epoll.h", "sys/mman.h",
      "netinet/", "arpa/",  "netdb.h",  "poll.h",       "unistd.h", "fcntl.h",     "time.h",
      "ctime",    "chrono", "thread",   "mutex",        "atomic",   "iostream",    "fstream"}},
    {"daemon", {"core/", "proto/", "daemon/"}, {"xxhash.h"}},
    {"tools/client",
     {"proto/", "tools/client/"},
     {"event", "CLI/", "sasl/", "nlohmann/", "jemalloc/"}},
    {"tools/larder", {"proto/", "tools/client/", "tools/larder/"}, {"event", "sasl/", "jemalloc/"}},
};

// Every #include line of a layer's files.
std::vector<Include> includes_of(const std::string& folder) {
  std::vector<Include> found;
  for (const auto& entry : fs::recursive_directory_iterator(source_file(folder))) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".h" && extension != ".cc") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("#include")) continue;
      const size_t open = line.find_first_of("<\"");
      const size_t close = line.find_first_of(">\"", open + 1);
      REQUIRE(close != std::string::npos);
      found.push_back({fs::relative(entry.path(), source_file("")).string(),
                       line.substr(open + 1, close - open - 1), line[open] == '"'});
    }
  }
  return found;
}

bool starts_with_any(const std::string& header, const Words& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return header.starts_with(prefix); });
}

bool allowed(const Layer& layer, const Include& include) {
  return include.quoted ? starts_with_any(include.header, layer.own)
                        : !starts_with_any(include.header, layer.denied);
}

}  // namespace

TEST_CASE("each layer includes only what the dependency rule allows") {
  for (const Layer& layer : kLayers) {
    const std::vector<Include> includes = includes_of(layer.folder);
    CHECK(includes.size() > 10);  // the folder was found and read
    for (const Include& include : includes) {
      INFO(include.file << " includes " << include.header);
      CHECK(allowed(layer, include));
    }
  }
}

TEST_CASE("the dependency rule sees a foreign include") {
  CHECK_FALSE(allowed(kLayers[0], {"core/item.h", "proto/command.h", true}));
  CHECK_FALSE(allowed(kLayers[0], {"core/item.h", "sys/socket.h", false}));
  CHECK_FALSE(allowed(kLayers[0], {"core/item.h", "event2/event.h", false}));
  CHECK_FALSE(allowed(kLayers[1], {"proto/reply.h", "core/item.h", true}));
  CHECK_FALSE(allowed(kLayers[1], {"proto/reply.h", "xxhash.h", false}));
  CHECK(allowed(kLayers[2], {"daemon/executor.h", "core/item.h", true}));
  CHECK_FALSE(allowed(kLayers[3], {"tools/client/ring.h", "core/hash.h", true}));
  CHECK_FALSE(allowed(kLayers[3], {"tools/client/ring.h", "event2/event.h", false}));
  CHECK(allowed(kLayers[3], {"tools/client/ring.h", "tools/client/ketama.h", true}));
}

TEST_CASE("only one place of the daemon parses the command line") {
  for (const Include& include : includes_of("daemon")) {
    if (!include.header.starts_with("CLI/")) continue;
    INFO(include.file << " includes " << include.header);
    CHECK(include.file.starts_with("daemon/command_line"));
  }
}

TEST_CASE("core's atomics all go by the one door that counts them") {
  for (const Include& include : includes_of("core")) {
    if (include.header != "atomic") continue;
    INFO(include.file);
    CHECK(include.file == "core/atomic.h");
  }
}
