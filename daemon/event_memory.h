// The memory of libevent, with a reserve: parts of evhttp (2.1) do not survive an allocation that
// fails.
#pragma once

namespace larder::daemon {

// Has libevent allocate with malloc and, where that finds no memory, from a reserve of
// kEventReserveBytes. An allocation fails for libevent once the reserve is used up, too. Any
// thread; before the first event base, and once is enough.
void reserve_event_memory();

constexpr unsigned kEventReserveBytes = 256 * 1024;

}  // namespace larder::daemon
