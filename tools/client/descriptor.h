// Descriptor: one of the process's, closed with its owner.
#pragma once

namespace larder::client {

// One thread at a time.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;

  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

}  // namespace larder::client
