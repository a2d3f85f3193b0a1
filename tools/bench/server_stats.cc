#include "tools/bench/server_stats.h"

#include <stdexcept>
#include <string>

#include "tools/bench/server.h"
#include "tools/bench/words.h"

namespace larder::bench {
namespace {

constexpr auto kResp = Dialect::Name::Resp;

// Redis's reply to an inline command. QUIT makes it end in a way that an error does not change.
std::string ask_redis(const Endpoint& at, const std::string& request) {
  return command(at, request + "\r\nQUIT\r\n", "+OK\r\n");
}

uint64_t info(const Endpoint& at, const std::string& section, const std::string& name) {
  const auto number = parse_info(ask_redis(at, "INFO " + section), name);
  if (!number) throw std::runtime_error("INFO of the server does not say " + name);
  return *number;
}

}  // namespace

uint64_t items_of(const Endpoint& at, Dialect::Name protocol) {
  if (protocol != kResp) return stat(at, "curr_items");
  const std::string reply = ask_redis(at, "DBSIZE");
  const std::string_view line = std::string_view(reply).substr(0, reply.find('\r'));
  const auto items = line.starts_with(':') ? parse_number(line.substr(1)) : std::nullopt;
  if (!items) throw std::runtime_error("the reply to DBSIZE is not a number: " + std::string(line));
  return *items;
}

uint64_t evictions_of(const Endpoint& at, Dialect::Name protocol) {
  return protocol == kResp ? info(at, "stats", "evicted_keys") : stat(at, "evictions");
}

uint64_t memory_limit_of(const Endpoint& at, Dialect::Name protocol) {
  if (protocol != kResp) return stat(at, "limit_maxbytes");
  const uint64_t bytes = info(at, "memory", "maxmemory");
  if (bytes == 0) {
    throw std::runtime_error("the server has no limit; is --maxmemory {memory}mb in the command?");
  }
  return bytes;
}

std::optional<uint64_t> parse_info(std::string_view text, std::string_view name) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name) || !line.ends_with('\r')) continue;
    if (line.substr(name.size()).starts_with(':')) {
      return parse_number(line.substr(name.size() + 1, line.size() - name.size() - 2));
    }
  }
  return std::nullopt;
}

}  // namespace larder::bench
