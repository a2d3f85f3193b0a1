#include "tools/bench/held.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tools/bench/server.h"
#include "tools/bench/server_stats.h"

namespace larder::bench {
namespace {

// A set: the request is the head, the key, and the tail.
struct SetText {
  std::string head;
  std::string tail;
};

SetText set_text(Dialect::Name protocol, size_t value_bytes) {
  const std::string length = std::to_string(value_bytes);
  const std::string value = "\r\n" + value_of(0, value_bytes) + "\r\n";
  if (protocol == Dialect::Name::Resp) {
    return {"*3\r\n$3\r\nSET\r\n$" + std::to_string(key_of(0).size()) + "\r\n",
            "\r\n$" + length + value};
  }
  return {"set ", " 0 0 " + length + value};
}

// Stores keys; returns how many sets were refused. Refusals are what a full server may answer, so
// only the beginnings of the lines are looked at: STORED or SERVER_ERROR; of RESP, + or -.
uint64_t overfill(int port, Dialect::Name protocol, size_t value_bytes, uint64_t keys) {
  const int fd = connect_to(port);
  if (fd < 0) throw std::runtime_error("cannot connect");
  const SetText set = set_text(protocol, value_bytes);
  const bool resp = protocol == Dialect::Name::Resp;
  uint64_t refused = 0;
  std::string request;
  std::vector<char> buffer(1 << 16);
  for (uint64_t n = 0; n < keys;) {
    request.clear();
    uint64_t waiting = 0;
    for (; waiting < 64 && n < keys; ++waiting, ++n) request += set.head + key_of(n) + set.tail;
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    bool line_begins = true;
    while (waiting > 0) {
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        close(fd);
        throw std::runtime_error("the server closed the connection");
      }
      for (ssize_t i = 0; i < got; ++i) {
        const char c = buffer[static_cast<size_t>(i)];
        if (line_begins && (resp ? c != '+' && c != '-' : c != 'S')) {
          close(fd);
          throw std::runtime_error("not a reply to set");
        }
        if (resp ? line_begins && c == '-' : c == 'V') ++refused;  // SERVER_ERROR, not STORED
        line_begins = c == '\n';
        if (line_begins) --waiting;
      }
    }
  }
  close(fd);
  return refused;
}

}  // namespace

Held measure_held(const std::string& command, char name, Dialect::Name protocol,
                  uint32_t value_bytes, uint64_t memory_mib, int server_cpu) {
  const Server server(command, server_cpu, memory_mib);
  const uint64_t limit = memory_limit_of(server.endpoint(), protocol);
  const size_t raw_bytes = key_of(0).size() + value_bytes;
  const uint64_t refused =
      overfill(server.port(), protocol, value_bytes, limit / raw_bytes * 13 / 10);
  const double cpu_seconds = server.cpu_nanoseconds() / 1e9;
  const uint64_t items = items_of(server.endpoint(), protocol);
  return {.value_bytes = value_bytes,
          .server = name,
          .items = items,
          .bytes_over = static_cast<double>(limit) / static_cast<double>(items) -
                        static_cast<double>(raw_bytes),
          .refused = refused,
          .resident_mib = server.resident_mib(),
          .cpu_seconds = cpu_seconds};
}

std::string heading_of_held() {
  char line[128];
  std::snprintf(line, sizeof line, "%-12s %-2s %12s %14s %8s %8s %8s\n", "value bytes", "", "items",
                "bytes over kv", "refused", "RSS MiB", "CPU s");
  return line;
}

std::string text_of(const Held& held) {
  char line[128];
  std::snprintf(line, sizeof line, "%-12u %-2c %12llu %14.1f %8llu %8.0f %8.1f\n", held.value_bytes,
                held.server, static_cast<unsigned long long>(held.items), held.bytes_over,
                static_cast<unsigned long long>(held.refused), held.resident_mib, held.cpu_seconds);
  return line;
}

std::string json_of(const std::vector<Held>& all) {
  nlohmann::ordered_json json;
  for (const Held& held : all) {
    json["held"].push_back({{"value_bytes", held.value_bytes},
                            {"server", std::string(1, held.server)},
                            {"items", held.items},
                            {"bytes_over_key_and_value", held.bytes_over},
                            {"refused", held.refused},
                            {"resident_mib", held.resident_mib},
                            {"cpu_seconds", held.cpu_seconds}});
  }
  return json.dump(2) + "\n";
}

}  // namespace larder::bench
