#include "tools/larder/key_filter.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/larder/key_options.h"

namespace larder::operate {

void KeyFilter::add_to(CLI::App& command) {
  command.add_option("--prefix", prefix, "only keys that begin so")->type_name("TEXT");
  add_encoded_option(command, encoded,
                     command.get_name() == "keys" ? "--prefix and --after are" : "--prefix is");
  command
      .add_option("--min-size", min_size,
                  "only items of so many bytes or more, as their server counts them: with the key "
                  "and its own header")
      ->type_name("BYTES");
  command.add_option("--max-size", max_size, "or of so many or fewer")->type_name("BYTES");
  command
      .add_option("--min-ttl", min_ttl,
                  "only items that live so many seconds or more; those without an end do")
      ->type_name("SECONDS");
  command.add_option("--max-ttl", max_ttl, "or so many or fewer; those without an end do not")
      ->type_name("SECONDS");
}

KeyFilter KeyFilter::resolved() const {
  KeyFilter filter = *this;
  if (!encoded) return filter;
  filter.prefix = decoded_key_of("--prefix", prefix);
  filter.encoded = false;
  return filter;
}

bool KeyFilter::wants(const DumpedKey& key, int64_t now) const {
  if (!key.key.starts_with(prefix)) return false;
  if (min_size && key.size < *min_size) return false;
  if (max_size && key.size > *max_size) return false;
  if (key.expires <= 0) return !max_ttl;
  const int64_t ttl = std::max<int64_t>(key.expires - now, 0);
  return (!min_ttl || ttl >= *min_ttl) && (!max_ttl || ttl <= *max_ttl);
}

}  // namespace larder::operate
