// EtcdAddress: where one member of an etcd cluster answers its clients, as --cluster-etcd says it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace larder::daemon {

constexpr uint16_t kEtcdPort = 2379;

struct EtcdAddress {
  std::string host;  // a name, or an address without brackets
  uint16_t port = kEtcdPort;

  std::string text() const;  // "host:port", "[::1]:port": as URLs and Host: have it

  bool operator==(const EtcdAddress&) const = default;
};

// Of "10.0.0.1:2379,http://etcd2:2379,[::1]": one or more with commas between them; without a port
// it is kEtcdPort. Throws std::runtime_error with one sentence that names the option.
std::vector<EtcdAddress> parse_etcd_addresses(const std::string& text);

}  // namespace larder::daemon
