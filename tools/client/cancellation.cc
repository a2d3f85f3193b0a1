#include "tools/client/cancellation.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace larder::client {

Cancellation::Cancellation() noexcept : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Cancellation::~Cancellation() {
  if (fd_ >= 0) close(fd_);
}

void Cancellation::cancel() noexcept {
  cancelled_ = true;
  if (fd_ >= 0) eventfd_write(fd_, 1);
}

}  // namespace larder::client
