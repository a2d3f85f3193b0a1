// source_file(): where a file or folder of the repository lies.
#pragma once

#include <filesystem>
#include <string_view>

namespace larder::test {

// `path` is relative to the repository's root; "" is the root.
std::filesystem::path source_file(std::string_view path);

}  // namespace larder::test
