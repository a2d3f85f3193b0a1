// Every ring against what its library answered: golden/, written by make_golden.py.
#include <openssl/evp.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/source_file.h"
#include "tools/client/ring.h"

using namespace larder::client;

namespace {

constexpr uint32_t kKeys = 10'000;

std::string in_hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += "0123456789abcdef"[value >> 4];
    text += "0123456789abcdef"[value & 15];
  }
  return text;
}

std::string sha256_in_hex(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  REQUIRE(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return in_hex({reinterpret_cast<const char*>(digest), size});
}

// The key of that number, as make_golden.py makes it.
std::string key(uint32_t number, bool ascii_only) {
  const std::string digits = std::to_string(number);
  switch (number % 5) {
    case 0:
      return "user:" + digits;
    case 1: {
      const uint32_t scattered = number * 2654435761u;
      std::string hex;
      for (int shift = 24; shift >= 0; shift -= 8) hex += static_cast<char>(scattered >> shift);
      return "session/" + in_hex(hex);
    }
    case 2:
      return digits;
    case 3:
      return std::string(number % 200, 'k') + "-" + digits;
    default:
      return (ascii_only ? "groesse:"
                         : "gr\xc3\xb6\xc3\x9f"
                           "e:") +
             digits;
  }
}

// A line of a golden file.
struct Golden {
  uint32_t nodes = 0;
  std::string ports;    // 11211, mixed, named, unix, loopback, ipv6, mapped
  std::string weights;  // equal, varied
  std::string digest;   // of all answers
  std::string first;    // the first of them, two hex digits each
};

std::vector<Golden> read_golden(RingKind kind) {
  const auto path = larder::test::source_file("tests/rings/golden") / name_of(kind);
  std::ifstream file(path);
  INFO(path.string());
  REQUIRE(file);
  std::vector<Golden> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    Golden& golden = lines.emplace_back();
    std::istringstream words(line);
    REQUIRE(words >> golden.nodes >> golden.ports >> golden.weights >> golden.digest >>
            golden.first);
  }
  return lines;
}

// What stands for a node's host in the set with names.
RingNode named_node(RingKind kind, uint32_t i) {
  constexpr uint32_t kWeights[] = {1, 2, 5, 5, 2};
  const std::string host = "cache-" + std::to_string(i) + ".example";
  const std::string address = "127.0.11." + std::to_string(i + 1);
  RingNode node{host, static_cast<uint16_t>(11211 + i / 3), kWeights[i]};
  if (kind == RingKind::SpymemcachedKetama) {
    node.name = host + "/" + address + ":" + std::to_string(node.port);
  }
  if (kind == RingKind::TwemproxyKetamaFnv1a64) node.name = "cache-" + std::to_string(i);
  return node;
}

// The node of that number in a set of make_golden.py's FORMS; none for other sets.
std::optional<RingNode> special_node(const std::string& form, uint32_t i) {
  struct Address {
    const char* host;
    uint16_t port;
  };
  constexpr Address kLoopback[] = {{"::1", 11211},
                                   {"0:0:0:0:0:0:0:1", 11212},
                                   {"0::1", 11213},
                                   {"::1", 11214},
                                   {"::0001", 11215}};
  constexpr Address kIpv6[] = {{"fd00::1", 11211},
                               {"FD00:0:0:A::2", 11211},
                               {"2001:db8::a:0:0:3", 11212},
                               {"fd00::00c4", 11211},
                               {"2001:db8::", 11213}};
  constexpr Address kMapped[] = {{"::ffff:127.0.0.1", 11211}, {"0::FFFF:7f00:2", 11212}};
  const auto of = [&](const Address& address) { return RingNode{address.host, address.port}; };
  if (form == "unix") return RingNode{"/tmp/larder-golden-" + std::to_string(i) + ".sock", 0};
  if (form == "loopback") return of(kLoopback[i]);
  if (form == "ipv6") return of(kIpv6[i]);
  if (form == "mapped") return of(kMapped[i]);
  return std::nullopt;
}

std::vector<RingNode> nodes_of(RingKind kind, const Golden& golden) {
  constexpr uint32_t kWeights[] = {1, 2, 5, 5, 2};
  std::vector<RingNode> nodes;
  for (uint32_t i = 0; i < golden.nodes; ++i) {
    if (golden.ports == "named") {
      nodes.push_back(named_node(kind, i));
      continue;
    }
    if (auto special = special_node(golden.ports, i)) {
      if (golden.weights == "varied") special->weight = kWeights[i];
      nodes.push_back(std::move(*special));
      continue;
    }
    const bool usual = golden.ports == "11211";
    nodes.push_back({"127.0.10." + std::to_string((usual ? i : i / 4) + 1),
                     static_cast<uint16_t>(usual ? 11211 : 11210 + i % 4),
                     golden.weights == "varied" ? kWeights[i % 5] : 1});
  }
  return nodes;
}

}  // namespace

TEST_CASE("every ring answers as its library for all keys and all sets of nodes") {
  for (const RingKindRow& row : ring_kinds()) {
    const bool ascii_only = row.kind == RingKind::PymemcacheRendezvous;
    std::set<uint32_t> sizes;
    std::set<std::string> weights;
    std::set<std::string> forms;
    for (const Golden& golden : read_golden(row.kind)) {
      CAPTURE(std::string(row.name), golden.nodes, golden.ports, golden.weights);
      sizes.insert(golden.nodes);
      weights.insert(golden.weights);
      forms.insert(golden.ports);
      const RingResult made = Ring::make(row.kind, nodes_of(row.kind, golden));
      REQUIRE(made.error == "");
      std::string answers;
      for (uint32_t i = 0; i < kKeys; ++i) {
        answers += static_cast<char>(made.ring->node_of(key(i, ascii_only)));
      }
      // The answers first: where they differ, they say more than a digest.
      CHECK(in_hex(answers.substr(0, golden.first.size() / 2)) == golden.first);
      CHECK(golden.first.size() == 2 * 250);
      CHECK(sha256_in_hex(answers) == golden.digest);
    }
    CAPTURE(std::string(row.name));
    // libmemcached ends a program that puts more than 100 nodes into a ring of points.
    const bool at_most_100 = row.kind == RingKind::LibmemcachedKetamaWeighted ||
                             row.kind == RingKind::LibmemcachedKetama;
    CHECK(sizes.contains(101) != at_most_100);
    sizes.erase(101);
    CHECK(sizes == std::set<uint32_t>{1, 2, 3, 5, 16, 100});
    const bool by_place = row.kind == RingKind::Gomemcache || row.kind == RingKind::JumpXxh3;
    CHECK(forms.contains("unix") == (!by_place && row.kind != RingKind::SpymemcachedKetama));
    CHECK(forms.contains("loopback") == !by_place);
    CHECK(weights.contains("equal"));
    CHECK(weights.contains("varied") == (row.weights != RingWeights::Refused));
  }
}

TEST_CASE("no golden file is left over") {
  size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(larder::test::source_file("tests/rings/golden"))) {
    INFO(entry.path());
    CHECK(parse_ring_kind(entry.path().filename().string()));
    ++files;
  }
  CHECK(files == ring_kinds().size());
}
