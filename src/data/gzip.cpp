#include <fmt/format.h>
#include <zlib.h>

#include <memory>

#include "core/atomic_file.h"
#include "data/registry.h"
#include "nnq/error.h"

namespace nnq::data {

std::vector<std::byte> read_maybe_gzip(const std::filesystem::path& file, std::size_t max_bytes) {
  std::vector<std::byte> content;
  if (file.extension() != ".gz") {
    throw_if_error(try_read_file(file, max_bytes, content));
    return content;
  }
  const auto close = [](gzFile handle) { gzclose(handle); };
  const std::unique_ptr<gzFile_s, decltype(close)> in(gzopen(file.c_str(), "rb"), close);
  if (!in) throw Error("cannot be opened", file.string());
  constexpr std::size_t chunk = std::size_t{1} << 20;
  for (;;) {
    const std::size_t have = content.size();
    content.resize(have + chunk);
    const int got = gzread(in.get(), content.data() + have, chunk);
    if (got < 0) {
      int code = 0;
      const char* why = gzerror(in.get(), &code);
      throw Error(fmt::format("damaged gzip data after {} bytes: {}", have, why), file.string(),
                  "fetch the file again");
    }
    content.resize(have + static_cast<std::size_t>(got));
    if (content.size() > max_bytes)
      throw Error(fmt::format("unpacks to more than the {} bytes allowed", max_bytes), file.string());
    if (got == 0) break;
  }
  // gzread reports a stream cut in the middle only as an early end.
  int code = Z_OK;
  gzerror(in.get(), &code);
  if (code != Z_OK || gzdirect(in.get()) == 1)
    throw Error(fmt::format("gzip data end too early, after {} bytes", content.size()), file.string(),
                "fetch the file again");
  return content;
}

std::filesystem::path plain_or_gzip(const std::filesystem::path& folder, const std::string& name) {
  for (const std::string& candidate : {name, name + ".gz"}) {
    if (std::filesystem::exists(folder / candidate)) return folder / candidate;
  }
  throw Error("no such file (nor with .gz)", (folder / name).string(), "the data set is incomplete");
}

}  // namespace nnq::data
