#include "tools/larder/key_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace larder::operate {
namespace {

constexpr size_t kReadBytes = 64 << 10;

[[noreturn]] void throw_errno(const std::string& folder = {}) {
  throw std::system_error(errno, std::generic_category(),
                          "the keys that copy stores cannot be kept in a temporary file" +
                              (folder.empty() ? "" : " in '" + folder + "' (the variable TMPDIR)"));
}

int open_unnamed() {
  const char* const given = std::getenv("TMPDIR");
  const std::string folder = given != nullptr && *given != '\0' ? given : "/tmp";
  std::string path = folder + "/larder-keys-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) throw_errno(folder);
  unlink(path.c_str());
  return fd;
}

}  // namespace

// A length of one byte, then the key.
KeyFile::KeyFile() : file_(open_unnamed()) {}

void KeyFile::append(std::span<const std::string_view> keys) {
  batch_.clear();
  for (const std::string_view key : keys) {
    assert(key.size() <= UINT8_MAX);
    batch_ += static_cast<char>(key.size());
    batch_ += key;
  }
  for (std::string_view left = batch_; !left.empty();) {
    const ssize_t written = write(file_.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno();
    left.remove_prefix(static_cast<size_t>(written));
  }
}

uint64_t KeyFile::for_each(uint64_t begin,
                           const std::function<bool(std::string_view)>& on_key) const {
  std::string held;  // read, and not handed on
  off_t at = static_cast<off_t>(begin);
  for (;;) {
    const size_t before = held.size();
    held.resize(before + kReadBytes);
    const ssize_t got = pread(file_.get(), held.data() + before, kReadBytes, at);
    if (got < 0 && errno != EINTR) throw_errno();
    held.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return static_cast<uint64_t>(at) - held.size();
    at += std::max<ssize_t>(got, 0);
    size_t taken = 0;
    while (taken < held.size()) {
      const size_t bytes = static_cast<unsigned char>(held[taken]);
      if (held.size() - taken <= bytes) break;
      const bool goes_on = on_key(std::string_view(held).substr(taken + 1, bytes));
      taken += bytes + 1;
      if (!goes_on) return static_cast<uint64_t>(at) - held.size() + taken;
    }
    held.erase(0, taken);
  }
}

}  // namespace larder::operate
