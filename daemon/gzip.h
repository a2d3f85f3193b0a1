// gzip: a page as browsers and Prometheus like it best, a fifth to a tenth of its size (RFC 1952).
#pragma once

#include <string>
#include <string_view>

namespace larder::daemon {

// Throws std::bad_alloc. Any thread.
std::string gzip(std::string_view bytes);

// Whether a client that sends this Accept-Encoding header (null: none) takes it (RFC 9110, 12.5.3).
bool takes_gzip(const char* accept_encoding) noexcept;

}  // namespace larder::daemon
