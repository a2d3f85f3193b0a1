#include "tools/client/ring_label.h"

namespace larder::client {
namespace {

constexpr uint16_t kMemcachedPort = 11211;

bool omits_the_usual_port(RingKind kind) {
  return kind == RingKind::LibmemcachedKetamaWeighted || kind == RingKind::LibmemcachedKetama ||
         kind == RingKind::TwemproxyKetamaFnv1a64;
}

}  // namespace

std::string ring_label(RingKind kind, const RingNode& node) {
  if (!node.name.empty()) return node.name;
  if (node.port == kMemcachedPort && omits_the_usual_port(kind)) return node.host;
  const char between = kind == RingKind::Nginx ? '\0' : ':';
  return node.host + between + std::to_string(node.port);
}

}  // namespace larder::client
