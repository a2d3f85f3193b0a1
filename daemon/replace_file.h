// Writing a small file that others read while it is replaced.
#pragma once

#include <string>
#include <string_view>

namespace larder::daemon {

// Writes `text` to `draft` and renames that to `path`, so that nobody reads half of it. Whatever
// had the name `draft` is removed first, and the file is created anew: in a folder where others may
// write, a link that somebody has put there would lead to another file of the server's user, which
// would lose its content. The same holds for a link at `path`, which the renaming replaces.
//
// False, with errno, if that fails; then `draft` is gone, and `path` is as it was.
[[nodiscard]] bool replace_file(const std::string& path, const std::string& draft,
                                std::string_view text) noexcept;

}  // namespace larder::daemon
