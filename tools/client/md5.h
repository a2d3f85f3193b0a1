// MD5, as rings use it: to spread keys and points, never to protect anything.
//
// Written here rather than taken from OpenSSL, because it runs once per key: there it allocates,
// and it is refused where a machine is set to FIPS, whose clients must still agree with the others.
// Source: RFC 1321.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace larder::client {

// The digest as its four words. In bytes each of them is little-endian.
using Md5Words = std::array<uint32_t, 4>;

// Any thread; cannot fail.
Md5Words md5(std::string_view text) noexcept;

}  // namespace larder::client
