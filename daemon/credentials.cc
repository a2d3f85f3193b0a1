#include "daemon/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "daemon/socket.h"

namespace larder::daemon {
namespace {

using Word = uint64_t;

struct Entry {  // views into the file's text
  std::string_view user;
  std::string_view password;
};

struct Lengths {
  uint32_t user_bytes;
  uint32_t password_bytes;
};
static_assert(sizeof(Lengths) == sizeof(Word));

constexpr size_t kMaxCellBytes = sizeof(Lengths) + kMaxCredentialBytes;
static_assert(kMaxCellBytes % sizeof(Word) == 0);

size_t cell_bytes(const Entry& entry) noexcept {
  const size_t bytes = sizeof(Lengths) + entry.user.size() + entry.password.size();
  return (bytes + sizeof(Word) - 1) / sizeof(Word) * sizeof(Word);
}

// `cell` holds zeros, and has room.
void fill_cell(const Entry& entry, char* cell) noexcept {
  const Lengths lengths = {static_cast<uint32_t>(entry.user.size()),
                           static_cast<uint32_t>(entry.password.size())};
  std::memcpy(cell, &lengths, sizeof lengths);
  cell += sizeof lengths;
  std::copy(entry.user.begin(), entry.user.end(), cell);
  std::copy(entry.password.begin(), entry.password.end(), cell + entry.user.size());
}

// Appends what the line stands for; false if it is no entry.
bool read_line(std::string_view line, Credentials::Form form, std::vector<Entry>& entries) {
  line = line.substr(0, line.find('\r'));
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.find('\0') != std::string_view::npos ||
      line.size() - 1 > kMaxCredentialBytes) {
    return false;
  }
  const std::string_view user = line.substr(0, colon);
  const std::string_view password = line.substr(colon + 1);
  entries.push_back({user, password});
  if (form == Credentials::Form::AuthFile) return true;
  for (size_t end = password.find(':'); end != std::string_view::npos;
       end = password.find(':', end + 1)) {
    entries.push_back({user, password.substr(0, end)});
  }
  return true;
}

std::string reason() { return std::strerror(errno); }

// How much of the file there was; `into` has room for what it was said to hold.
size_t read_all(int fd, std::span<char> into) {
  size_t bytes = 0;
  while (bytes < into.size()) {
    const ssize_t got = ::read(fd, into.data() + bytes, into.size() - bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw CredentialsError(reason());
    if (got == 0) break;
    bytes += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

Credentials Credentials::read(const std::string& path, Form form) {
  const std::string name = "'" + path + "'";
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a fifo: no waiting
  struct stat about {};
  if (!file || fstat(file.fd(), &about) != 0) {
    throw CredentialsError("cannot read " + name + ": " + reason());
  }
  if (!S_ISREG(about.st_mode)) throw CredentialsError(name + " is not a regular file");
  const auto bytes = static_cast<size_t>(about.st_size);
  if (bytes > kMaxCredentialFileBytes) {
    throw CredentialsError(name + " is larger than " +
                           std::to_string(kMaxCredentialFileBytes >> 20) + " MiB");
  }
  try {
    SecretBytes text(bytes);
    return parse({text.bytes().data(), read_all(file.fd(), text.bytes())}, form);
  } catch (const CredentialsError& error) {
    throw CredentialsError("cannot use " + name + ": " + error.what());
  }
}

Credentials Credentials::parse(std::string_view text, Form form) {
  std::vector<Entry> entries;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    if (!read_line(text.substr(0, end), form, entries) && form == Form::AuthFile) {
      throw CredentialsError("line " + std::to_string(number) + " is not user:password (of up to " +
                             std::to_string(kMaxCredentialBytes) + " bytes)");
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  if (entries.empty() && form == Form::AuthFile) {
    throw CredentialsError("there is no user:password in it");
  }

  Credentials made;
  made.count_ = entries.size();
  for (const Entry& entry : entries) {
    made.cell_bytes_ = std::max(made.cell_bytes_, cell_bytes(entry));
  }
  made.cells_ = SecretBytes(made.count_ * made.cell_bytes_);
  char* cell = made.cells_.bytes().data();
  for (const Entry& entry : entries) {
    fill_cell(entry, cell);
    cell += made.cell_bytes_;
  }
  return made;
}

bool Credentials::allow(std::string_view user, std::string_view password) const noexcept {
  std::array<Word, kMaxCellBytes / sizeof(Word)> offered{};
  const Entry entry{user, password};
  const bool fits = cell_bytes(entry) <= cell_bytes_;
  if (fits) fill_cell(entry, reinterpret_cast<char*>(offered.data()));

  // Nothing here branches on what is compared.
  const size_t words = cell_bytes_ / sizeof(Word);
  Word found = 0;
  for (size_t i = 0; i < count_; ++i) {
    const char* const cell = cells_.bytes().data() + i * cell_bytes_;
    Word differs = 0;
    for (size_t w = 0; w < words; ++w) {
      Word word;
      std::memcpy(&word, cell + w * sizeof word, sizeof word);
      differs |= word ^ offered[w];
    }
    found |= ((differs | (Word{0} - differs)) >> 63) ^ 1;
  }
  wipe({reinterpret_cast<char*>(offered.data()), sizeof offered});
  return fits && found != 0;
}

}  // namespace larder::daemon
