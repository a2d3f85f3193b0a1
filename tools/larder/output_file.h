// OutputFile: a file that a command writes, wholly or not at all.
//
// A regular file, or one that is new, is written beside its place under a name of its own with mode
// 0600, and takes its place in commit(), after fsync() of the file and before that of the folder.
// Until then, and where it is never committed, the old file stays as it was. The file beside it is
// removed without a commit: also when SIGINT, SIGTERM, SIGHUP or SIGQUIT ends the program, but not
// when SIGKILL does. "-", which is standard output, and files that are none to replace
// (/dev/stdout, a FIFO, a device) are written directly. A symbolic link is followed and stays.
//
// One at a time, on one thread; others may run.
#pragma once

#include <cstdio>
#include <string>

namespace larder::operate {

class OutputFile {
 public:
  // Opens it; error() says where it did not work.
  explicit OutputFile(const std::string& path);
  // Removes the file beside unless it was committed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Null where it could not be opened. Good until commit().
  std::FILE* stream() noexcept { return stream_; }
  // The stream is standard output, or the same file.
  bool is_standard_output() const noexcept { return standard_; }
  // Whether some byte could not be written. error() then says why.
  bool failed();

  // True once all bytes have their place. After a failure error() says why, and nothing was
  // replaced.
  bool commit();
  // A reason in the words of strerror(); empty: nothing has failed.
  const std::string& error() const noexcept { return error_; }

 private:
  std::FILE* stream_ = nullptr;
  bool standard_ = false;
  std::string target_;  // to be replaced; empty: it is written directly
  std::string part_;    // the file beside it; empty: there is none, or none any more
  std::string error_;

  bool fail();
  bool open_part();
  bool rename_part();
  void close_stream();
  void remove_part();
};

}  // namespace larder::operate
