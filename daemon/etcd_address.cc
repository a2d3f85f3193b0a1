#include "daemon/etcd_address.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "daemon/cluster_list.h"

namespace larder::daemon {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr std::string_view kTlsScheme = "https://";

[[noreturn]] void refuse(std::string_view address, const std::string& why) {
  throw std::runtime_error("option --cluster-etcd: '" + std::string(address) + "' " + why);
}

// Whether a port stands behind the host: a lone IPv6 address has colons of its own.
bool has_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return false;
  return text.front() == '[' ? text[colon - 1] == ']' : text.find(':') == colon;
}

EtcdAddress parse_one(std::string_view text) {
  if (text.starts_with(kTlsScheme)) {
    refuse(text, "asks for TLS, which larderd does not speak with etcd; give an http:// address");
  }
  std::string_view rest = text;
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) refuse(text, "is not host:port");
  std::string whole(rest);
  if (!has_port(rest)) {
    if (rest.find(':') != rest.npos && rest.front() != '[') whole = '[' + whole + ']';
    whole += ':' + std::to_string(kEtcdPort);
  }
  const ParsedClusterNode parsed = parse_announced(whole);
  if (!parsed.error.empty() || !parsed.node.ip.empty()) refuse(text, "is not host:port");
  return {parsed.node.host, parsed.node.port};
}

}  // namespace

std::string EtcdAddress::text() const {
  const bool v6 = host.find(':') != host.npos;
  return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::vector<EtcdAddress> parse_etcd_addresses(const std::string& text) {
  std::vector<EtcdAddress> addresses;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    if (end > 0) addresses.push_back(parse_one(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (addresses.empty()) refuse(text, "is not a list of host:port");
  return addresses;
}

}  // namespace larder::daemon
