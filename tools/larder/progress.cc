#include "tools/larder/progress.h"

#include <unistd.h>

#include <cstdio>

#include "tools/larder/text_table.h"

namespace larder::operate {
namespace {

constexpr auto kBetween = std::chrono::milliseconds(500);

}  // namespace

Progress::Progress()
    : shown_(isatty(STDERR_FILENO) == 1), next_(std::chrono::steady_clock::now() + kBetween) {}

Progress::~Progress() { clear(); }

void Progress::count(uint64_t item_bytes) {
  ++items_;
  bytes_ += item_bytes;
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kBetween;
  drawn_ = true;
  std::fprintf(stderr, "\r%llu items, %s\x1b[K", static_cast<unsigned long long>(items_),
               bytes_text(bytes_).c_str());
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

}  // namespace larder::operate
