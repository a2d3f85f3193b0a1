#include "tools/larder/where.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/larder/key_text.h"
#include "tools/larder/report.h"
#include "tools/larder/servers.h"
#include "tools/larder/shown_text.h"

namespace larder::operate {
namespace {

constexpr size_t kMaxKeyBytes = 250;  // protocol.txt, "Keys"

}  // namespace

std::string fault_of_key(const std::string& key, bool any_bytes) {
  if (key.empty()) return "is empty";
  if (key.size() > kMaxKeyBytes) return "is longer than 250 bytes";
  if (any_bytes) return {};
  const bool blank = std::any_of(key.begin(), key.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7f;
  });
  return blank ? "has a blank or a control character" : "";
}

std::string where_text(const client::Ring& ring, const std::vector<std::string>& keys,
                       bool encoded) {
  std::string text;
  for (const std::string& key : keys) {
    text += (encoded ? encoded_key(key) : shown(key)) + " " +
            address_of(ring.nodes()[ring.node_of(key)]) + "\n";
  }
  return text;
}

std::string where_json(const client::Ring& ring, const std::vector<std::string>& keys) {
  nlohmann::ordered_json found = nlohmann::ordered_json::array();
  for (const std::string& key : keys) {
    const uint32_t node = ring.node_of(key);
    found.push_back({{"key", key}, {"node", address_of(ring.nodes()[node])}, {"index", node}});
  }
  const nlohmann::ordered_json all = {{"ring", client::name_of(ring.kind())}, {"keys", found}};
  return json_text(all, 2) + "\n";
}

}  // namespace larder::operate
