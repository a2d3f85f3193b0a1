// What the tests of the client share: options for servers on loopback, and short looks at results.
#pragma once

#include <catch2/catch.hpp>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/temp_server.h"
#include "tools/client/client.h"

namespace larder::test {

// Nothing that a test does not want to see runs into a timeout on a busy machine.
inline client::ClientOptions options_for(std::initializer_list<int> ports) {
  client::ClientOptions options;
  for (const int port : ports) {
    options.servers.push_back({.host = "127.0.0.1", .port = static_cast<uint16_t>(port)});
  }
  options.connect_timeout = std::chrono::seconds(30);
  options.request_timeout = std::chrono::seconds(30);
  options.trusted_idle = {};  // servers come and go here within that
  return options;
}

// For tests of nodes that fail: these are to be over soon.
inline client::ClientOptions quick(client::ClientOptions options) {
  options.connect_timeout = std::chrono::milliseconds(200);
  options.request_timeout = std::chrono::milliseconds(200);
  options.retry_pause = std::chrono::milliseconds(1);
  options.health.first_ejection = std::chrono::milliseconds(20);
  options.health.longest_ejection = std::chrono::milliseconds(40);
  return options;
}

inline std::unique_ptr<client::Client> make_client(const client::ClientOptions& options) {
  auto made = client::Client::make(options);
  INFO((made.ok() ? std::string() : made.error().text));
  REQUIRE(made.ok());
  return std::move(*made);
}

using Found = client::Result<std::optional<client::Item>>;

inline bool is_miss(const Found& found) { return found.ok() && !found->has_value(); }

// Of a hit; else what there is instead.
inline std::string value_of(const Found& found) {
  if (!found.ok()) return "(error: " + found.error().text + ")";
  return found->has_value() ? (*found)->value : "(a miss)";
}

inline bool says(const client::Result<client::Outcome>& result, client::Outcome outcome) {
  return result.ok() && *result == outcome;
}

template <typename T>
bool fails_with(const client::Result<T>& result, client::ErrorKind kind) {
  return !result.ok() && result.error().kind == kind;
}

class ThreeServers {
 public:
  TempServer& operator[](size_t i) { return servers_[i]; }
  TempServer& operator[](int i) { return servers_[static_cast<size_t>(i)]; }
  client::ClientOptions options() const {
    return options_for({servers_[0].port(), servers_[1].port(), servers_[2].port()});
  }
  // Lives as long as the servers.
  client::Client* use(const client::ClientOptions& with) {
    client_ = make_client(with);
    return client_.get();
  }

 private:
  TempServer servers_[3];
  std::unique_ptr<client::Client> client_;
};

}  // namespace larder::test
