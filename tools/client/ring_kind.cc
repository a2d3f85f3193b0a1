#include "tools/client/ring_kind.h"

namespace larder::client {
namespace {

constexpr RingKindRow kRows[] = {
    {RingKind::LibmemcachedKetamaWeighted, "libmemcached-ketama-weighted", RingWeights::Followed,
     "libmemcached with KETAMA_WEIGHTED, php-memcached with OPT_LIBKETAMA_COMPATIBLE, pylibmc with "
     "ketama_weighted, twemproxy with ketama and md5"},
    {RingKind::LibmemcachedKetama, "libmemcached-ketama", RingWeights::Followed,
     "libmemcached with KETAMA, php-memcached with DISTRIBUTION_CONSISTENT, pylibmc with ketama"},
    {RingKind::LibmemcachedModula, "libmemcached-modula", RingWeights::Ignored,
     "libmemcached, php-memcached and pylibmc when not told otherwise"},
    {RingKind::SpymemcachedKetama, "spymemcached-ketama", RingWeights::Followed,
     "spymemcached's KetamaNodeLocator with KETAMA_HASH"},
    {RingKind::TwemproxyKetamaFnv1a64, "twemproxy-ketama-fnv1a_64", RingWeights::Followed,
     "twemproxy with ketama and its default hash"},
    {RingKind::Dalli, "dalli", RingWeights::Followed, "Dalli"},
    {RingKind::PymemcacheRendezvous, "pymemcache-rendezvous", RingWeights::Refused,
     "pymemcache's HashClient"},
    {RingKind::Gomemcache, "gomemcache", RingWeights::Refused, "gomemcache's ServerList"},
    {RingKind::JumpXxh3, "jump-xxh3", RingWeights::Refused,
     "memcached's proxy, where a pool sets neither dist, hash nor seed"},
    {RingKind::Nginx, "nginx", RingWeights::Followed,
     "nginx with hash ... consistent, Cache::Memcached::Fast with ketama_points 160"},
};

constexpr bool rows_follow_the_enumeration() {
  size_t expected = 0;
  for (const RingKindRow& row : kRows) {
    if (static_cast<size_t>(row.kind) != expected++) return false;
  }
  return true;
}
static_assert(rows_follow_the_enumeration());

}  // namespace

std::span<const RingKindRow> ring_kinds() noexcept { return kRows; }

const RingKindRow& row_of(RingKind kind) noexcept { return kRows[static_cast<size_t>(kind)]; }

std::optional<RingKind> parse_ring_kind(std::string_view name) noexcept {
  for (const RingKindRow& row : kRows) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

std::string ring_kind_names() {
  std::string names;
  for (const RingKindRow& row : kRows) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

}  // namespace larder::client
