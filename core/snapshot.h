// Snapshot: what a cache knows beside its arena, as a row of bytes: written when it stops, read
// when it starts again (core/memory_file.h keeps it).
//
// The bytes are this machine's, without tags: writer and reader call the same things in the same
// order. A reader never reads beyond the end, and says so from then on: whoever reads a structure
// asks once, at its end, and checks what numbers mean before it uses them as an index.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace larder::core {

class SnapshotWriter {
 public:
  template <class T>
  void add(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  // Their number comes first.
  template <class T>
  void add_array(const T* values, size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    add(uint64_t{count});
    if (count > 0) bytes_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
  }
  template <class T>
  void add_array(const std::vector<T>& values) {
    add_array(values.data(), values.size());
  }
  void add_text(std::string_view text) { add_array(text.data(), text.size()); }

  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

class SnapshotReader {
 public:
  explicit SnapshotReader(std::string_view bytes) noexcept : rest_(bytes) {}

  // False once something was not there; what was asked for is left as it was.
  bool ok() const noexcept { return ok_; }
  bool at_end() const noexcept { return ok_ && rest_.empty(); }

  template <class T>
  bool read(T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    const char* from = take(1, sizeof value);
    if (from != nullptr) std::memcpy(static_cast<void*>(&value), from, sizeof value);
    return ok_;
  }
  template <class T>
  T get() noexcept {
    T value{};
    read(value);
    return value;
  }
  // An array into what is there for it; false if it has not exactly that many.
  template <class T>
  bool read_array(T* values, size_t count) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    if (get<uint64_t>() != count) ok_ = false;
    const char* from = take(count, sizeof(T));
    if (from != nullptr && count > 0)
      std::memcpy(static_cast<void*>(values), from, count * sizeof(T));
    return ok_;
  }
  template <class T>
  bool read_array(std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    const uint64_t count = get<uint64_t>();
    const char* from = take(count, sizeof(T));
    if (from == nullptr) return false;
    values.resize(count);
    if (count > 0) std::memcpy(static_cast<void*>(values.data()), from, count * sizeof(T));
    return true;
  }
  std::string_view get_text() noexcept {
    const uint64_t count = get<uint64_t>();
    const char* from = take(count, 1);
    return from == nullptr ? std::string_view{} : std::string_view{from, count};
  }

 private:
  const char* take(uint64_t count, size_t each) noexcept {
    if (!ok_ || count > rest_.size() / each) {
      ok_ = false;
      return nullptr;
    }
    const char* at = rest_.data();
    rest_.remove_prefix(count * each);
    return at;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace larder::core
