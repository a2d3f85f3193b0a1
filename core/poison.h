// Tells AddressSanitizer which chunks may not be touched; nothing in other builds.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define LARDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LARDER_ASAN 1
#endif
#endif

#ifdef LARDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

#include <cstddef>

namespace larder::core {

inline void poison([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) noexcept {
#ifdef LARDER_ASAN
  __asan_poison_memory_region(p, bytes);
#endif
}

inline void unpoison([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) noexcept {
#ifdef LARDER_ASAN
  __asan_unpoison_memory_region(p, bytes);
#endif
}

}  // namespace larder::core
