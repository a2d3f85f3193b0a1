// Names: which addresses they lead to, and that no name server can hold a call up.
#include "tools/client/name_lookup.h"

#include <netdb.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "tests/library/fleet_support.h"
#include "tests/library/name_server.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/temp_server.h"
#include "tools/client/client.h"

using namespace larder::client;
using namespace larder::test;
using std::chrono::milliseconds;

namespace {

using Clock = std::chrono::steady_clock;
using Addresses = std::set<std::string>;

Deadline in(milliseconds time) { return Clock::now() + time; }
Deadline patience() { return Clock::now() + kPatience; }

Addresses texts_of(const Result<HostAddresses>& found) {
  if (!found) return {"(error: " + found.error().text + ")"};
  Addresses texts;
  for (const SocketAddress& address : found->list) texts.insert(address.text());
  return texts;
}

Addresses look_up_at(const NameServer& server, const std::string& host) {
  return texts_of(look_up(host, 11211, server.address(), patience()));
}

// What getaddrinfo() finds, of IPv4: it invents ::1 for a name that only IPv4 has.
Addresses system_finds(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  Addresses texts;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST] = "";
    getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    texts.insert(text);
  }
  freeaddrinfo(found);
  return texts;
}

// Every name of /etc/hosts.
Addresses names_of_this_machine() {
  Addresses names;
  std::ifstream file("/etc/hosts");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    words >> name;  // the address
    while (words >> name) names.insert(name);
  }
  return names;
}

// A variable of the environment, while it lives. Nothing else may read the environment meanwhile.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("an address in digits needs no name server") {
  NameServer server;
  server.be_silent();
  CHECK(look_up_at(server, "127.0.0.1") == Addresses{"127.0.0.1"});
  CHECK(look_up_at(server, "127.2") == Addresses{"127.0.0.2"});
  CHECK(look_up_at(server, "::1") == Addresses{"::1"});
  CHECK(look_up_at(server, "0:0::1") == Addresses{"::1"});
  CHECK_FALSE(look_up("fe80::1%no-such-interface", 1, server.address(), patience()).ok());
  CHECK(server.asked().empty());
  const auto found = look_up("127.0.0.1", 11211, server.address(), patience());
  REQUIRE(found.ok());
  CHECK(reinterpret_cast<const sockaddr_in*>(found->list.front().get())->sin_port == htons(11211));
}

TEST_CASE("names of this machine are found as the system finds them, without a name server") {
  NameServer server;
  server.be_silent();
  Addresses names = names_of_this_machine();
  names.insert("localhost");
  for (const std::string& name : names) {
    CAPTURE(name);
    const Addresses found = look_up_at(server, name);
    const Addresses expected = system_finds(name);
    CHECK(std::includes(found.begin(), found.end(), expected.begin(), expected.end()));
  }
  CHECK(server.asked().empty());
}

TEST_CASE("a name leads to its addresses of both families") {
  NameServer server;
  server.set("cache.test", {"10.1.2.3", "10.1.2.4", "fd00::7"});
  server.set("six.test", {"fd00::8"});
  server.set("none.test", {});
  CHECK(look_up_at(server, "cache.test") == Addresses{"10.1.2.3", "10.1.2.4", "fd00::7"});
  CHECK(look_up_at(server, "CACHE.test.") == Addresses{"10.1.2.3", "10.1.2.4", "fd00::7"});
  CHECK(look_up_at(server, "six.test") == Addresses{"fd00::8"});
  const auto found = look_up("six.test", 11211, server.address(), patience());
  REQUIRE(found.ok());
  CHECK(reinterpret_cast<const sockaddr_in6*>(found->list.front().get())->sin6_port ==
        htons(11211));
  for (const char* unknown : {"none.test", "unknown.test"}) {
    const auto failed = look_up(unknown, 1, server.address(), patience());
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().kind == ErrorKind::Unreachable);
  }
}

TEST_CASE("a short name is looked up in the domains of the resolver's configuration") {
  NameServer server;
  server.set("cache.second.test", {"10.1.2.3"});
  const Variable domains("LOCALDOMAIN", "first.test second.test");
  CHECK(look_up_at(server, "cache") == Addresses{"10.1.2.3"});
  CHECK(server.asked().contains("cache.first.test"));
}

TEST_CASE("a lookup ends at its deadline when the name servers are silent") {
  NameServer server;
  server.be_silent();
  const auto failed = look_up("cache.test", 1, server.address(), in(milliseconds(50)));
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().kind == ErrorKind::Timeout);
  CHECK(server.asked().contains("cache.test"));

  const auto late = look_up("cache.test", 1, server.address(), Clock::now());
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().kind == ErrorKind::Timeout);
}

TEST_CASE("a name server that is silent leaves time for the next, and one family for the other") {
  NameServer silent;
  silent.be_silent();
  NameServer server;
  server.set("cache.test", {"10.1.2.3"});
  const std::string both = silent.address() + "," + server.address();
  CHECK(texts_of(look_up("cache.test", 1, both, in(milliseconds(2'000)))) == Addresses{"10.1.2.3"});

  server.be_silent_about_ipv6();
  CHECK(texts_of(look_up("cache.test", 1, server.address(), in(milliseconds(1'200)))) ==
        Addresses{"10.1.2.3"});
}

TEST_CASE("a part of the addresses does not lead a node away from the address that it has") {
  NameServer names;
  names.set("cache.test", {"127.0.0.1", "::1"});
  TempServer server;
  const Endpoint endpoint{"cache.test", static_cast<uint16_t>(server.port())};
  ConnectionOptions options;
  options.name_servers = names.address();
  names.be_silent_about_ipv6();
  CHECK_FALSE(look_up("cache.test", 1, names.address(), in(milliseconds(1'000)))->complete);
  const auto open = [&](std::string_view preferred) {
    return Connection::open(endpoint, options, in(milliseconds(1'000)), preferred);
  };
  CHECK(open("").ok());
  CHECK(open("127.0.0.1").ok());
  CHECK(fails_with(open("::1"), ErrorKind::Timeout));
}

TEST_CASE("where no name server listens the name is unreachable") {
  std::string nobody;
  {
    NameServer gone;
    nobody = gone.address();
  }
  const auto failed = look_up("cache.test", 1, nobody, patience());
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().kind == ErrorKind::Unreachable);
}

TEST_CASE("a lookup ends when it is cancelled") {
  NameServer server;
  server.be_silent();
  Cancellation cancellation;
  std::thread canceller([&] {
    CHECK(eventually([&] { return !server.asked().empty(); }));
    cancellation.cancel();
  });
  // c-ares itself gives up after 75 s.
  const auto begin = Clock::now();
  const auto failed = look_up("cache.test", 1, server.address(), Deadline::max(), &cancellation);
  CHECK(Clock::now() - begin < kPatience);
  canceller.join();
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().kind == ErrorKind::Timeout);
}

TEST_CASE("name servers that are no addresses are refused") {
  for (const char* wrong : {"dns.example.com", "10.0.0.1,x"}) {
    CAPTURE(wrong);
    CHECK(fault_of_name_servers(wrong).find(wrong) != std::string::npos);
    ClientOptions options = options_for({1});
    options.connection.name_servers = wrong;
    CHECK(fails_with(Client::make(options), ErrorKind::BadRequest));
    const auto failed = look_up("cache.test", 1, wrong, patience());
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().kind == ErrorKind::BadRequest);
  }
  for (const char* right : {"", "10.0.0.1", "10.0.0.1:5353,[::1]:53,fd00::1"}) {
    CHECK(fault_of_name_servers(right).empty());
  }
}

TEST_CASE("a name that no name server answers for costs the other nodes no key") {
  NameServer names;
  names.be_silent();
  TempServer well[2];
  ClientOptions options = options_for({well[0].port(), 1, well[1].port()});
  options.servers[1].host = "silent.test";
  options.connection.name_servers = names.address();
  std::vector<std::string> keys;
  for (int i = 0; i < 60; ++i) keys.push_back("key" + std::to_string(i));
  const auto is_well = [](const Client& cache, const std::string& key) {
    return !cache.node_of(key).starts_with("silent.test");
  };
  {
    const auto filler = make_client(options);
    for (const std::string& key : keys) {
      if (is_well(*filler, key)) REQUIRE(says(filler->set(key, key), Outcome::Done));
    }
  }
  options.connect_timeout = options.request_timeout = milliseconds(2'000);
  options.health.failures_to_eject = 1'000;
  const auto cache = make_client(options);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  // Without a deadline a lookup takes 75 s.
  const auto begin = Clock::now();
  const auto found = cache->get_many(views);
  CHECK(Clock::now() - begin < kPatience);
  size_t silent = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (is_well(*cache, keys[i])) {
      CHECK(value_of(found[i]) == keys[i]);
    } else {
      ++silent;
      CHECK(fails_with(found[i], ErrorKind::Timeout));
    }
  }
  CHECK(silent > 0);
  CHECK(names.asked().contains("silent.test"));
}

TEST_CASE("memory that runs out while a name is looked up leaves the node usable") {
  NameServer names;
  names.set("cache.test", {"127.0.0.1"});
  TempServer server;
  ClientOptions options = options_for({server.port()});
  options.servers[0].host = "cache.test";
  options.connection.name_servers = names.address();
  bool failed = true;
  for (uint64_t nth = 1; failed; ++nth) {
    const auto cache = make_client(options);
    {
      const OneFailingAllocation one(nth);
      try {
        static_cast<void>(cache->get("k").ok());
      } catch (const std::bad_alloc&) {
        // Who calls learns of it.
      }
      failed = one.failed();
    }
    CHECK(says(cache->set("k", "v"), Outcome::Done));
  }
}
