#include <cstdio>
#include <cstdlib>

#include "tools/client/client.h"

using namespace larder::client;

// Its arguments are the ports of servers on this machine.
int main(int argc, char** argv) {
  ClientOptions options;
  for (int i = 1; i < argc; ++i) {
    const auto port = static_cast<uint16_t>(std::atoi(argv[i]));
    options.servers.push_back({.host = "127.0.0.1", .port = port});
  }
  Result<std::unique_ptr<Client>> made = Client::make(options);
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().text.c_str());
    return 1;
  }
  Client& cache = **made;

  const Result<Outcome> stored = cache.set("user:42", "Ada", {.exptime = 300});
  if (!stored) std::fprintf(stderr, "not stored: %s\n", stored.error().text.c_str());

  const Result<std::optional<Item>> user = cache.get("user:42");
  if (user && *user) std::printf("user:42 is %s\n", (*user)->value.c_str());

  // One of all who want the page computes it, on all machines; the others wait for that.
  const Result<Computed> page = cache.get_or_compute(
      "page:/", 60, []() -> Result<std::string> { return std::string("<h1>Hello</h1>"); });
  if (page) std::printf("page:/ is %s\n", page->value.c_str());
  return 0;
}
