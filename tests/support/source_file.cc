#include "tests/support/source_file.h"

namespace larder::test {

std::filesystem::path source_file(std::string_view path) {
  return std::filesystem::path(LARDER_SOURCE_DIR) / path;
}

}  // namespace larder::test
