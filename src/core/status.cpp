#include "nnq/status.h"

namespace nnq::detail {

void Piece::append_to(std::string& out) const {
  switch (kind_) {
    case Kind::text:
      out.append(text_);
      break;
    case Kind::integer:
      out.append(std::to_string(integer_));
      break;
    case Kind::natural:
      out.append(std::to_string(static_cast<std::uint64_t>(integer_)));
      break;
    case Kind::real:
      out.append(std::to_string(real_));
      break;
  }
}

std::string join(std::initializer_list<Piece> pieces) {
  std::string out;
  for (const Piece& piece : pieces) piece.append_to(out);
  return out;
}

Status invalid(std::initializer_list<Piece> pieces) { return Status::invalid(join(pieces)); }

}  // namespace nnq::detail
