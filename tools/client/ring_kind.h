// The rings that Larder's client knows: how a key finds its server, byte for byte as clients that
// are deployed do it. README.md says what each was checked against.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace larder::client {

enum class RingKind : uint8_t {
  LibmemcachedKetamaWeighted,  // also php's OPT_LIBKETAMA_COMPATIBLE, pylibmc's ketama_weighted,
                               // twemproxy's ketama with hash md5
  LibmemcachedKetama,          // BEHAVIOR_KETAMA, DISTRIBUTION_CONSISTENT
  LibmemcachedModula,          // what libmemcached, php-memcached and pylibmc do when not told
  SpymemcachedKetama,          // KetamaNodeLocator with KETAMA_HASH and its own format of names
  TwemproxyKetamaFnv1a64,      // twemproxy's ketama with its default hash
  Dalli,
  PymemcacheRendezvous,  // HashClient's default; keys of ASCII, given as str
  Gomemcache,
  JumpXxh3,  // the default of memcached's proxy
  Nginx,     // upstream's `hash KEY consistent`; Cache::Memcached::Fast with ketama_points 160
};

// What a ring makes of weights.
enum class RingWeights : uint8_t {
  Followed,
  Ignored,  // accepted and without effect, as in the library
  Refused,  // the library has none: every weight must be 1
};

// One row for each ring.
struct RingKindRow {
  RingKind kind;
  std::string_view name;  // what operators write
  RingWeights weights;
  std::string_view users;  // who else has the ring, and with which settings: "a, b with c"
};

// All rings in the order of the enumeration.
std::span<const RingKindRow> ring_kinds() noexcept;

const RingKindRow& row_of(RingKind kind) noexcept;
inline std::string_view name_of(RingKind kind) noexcept { return row_of(kind).name; }

// Empty if no ring has that name. Names are matched as they are, in lower case.
std::optional<RingKind> parse_ring_kind(std::string_view name) noexcept;
// For messages: the names of all rings, separated by ", ".
std::string ring_kind_names();

// See README.md, "Which ring".
constexpr RingKind kDefaultRing = RingKind::PymemcacheRendezvous;

}  // namespace larder::client
