// Operators that move or re-shape values without computing on them.
#include <algorithm>

#include "train/torch_op.h"

namespace nnq::train {
namespace {

using Ints = std::vector<std::int64_t>;

std::int64_t axis_in(std::int64_t axis, std::int64_t rank) {
  const std::int64_t result = axis < 0 ? axis + rank : axis;
  NNQ_CHECK(result >= 0 && result < rank, "axis " + std::to_string(axis) + " is outside rank " + std::to_string(rank));
  return result;
}

Kernel reshape(const Build& build) {
  const Integers shape(build, "shape", 1);
  const bool zero_is_zero = build.node.get_int("allowzero", 0) != 0;
  return one_output([=](const Args& args) {
    Ints target = shape.read(args);
    for (std::size_t d = 0; d < target.size(); ++d)
      if (target[d] == 0 && !zero_is_zero) {
        NNQ_CHECK(static_cast<std::int64_t>(d) < args[0].dim(),
                  "a 0 of the shape has no dimension of the input to copy");
        target[d] = args[0].size(static_cast<std::int64_t>(d));
      }
    return args[0].reshape(target);
  });
}

Kernel flatten(const Build& build) {
  const std::int64_t axis = build.node.get_int("axis", 1);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const std::int64_t first = axis < 0 ? axis + x.dim() : axis;
    NNQ_CHECK(first >= 0 && first <= x.dim(), "axis is outside the input's rank");
    std::int64_t rows = 1, columns = 1;
    for (std::int64_t d = 0; d < x.dim(); ++d) (d < first ? rows : columns) *= x.size(d);
    return x.reshape({rows, columns});
  });
}

Kernel transpose(const Build& build) {
  const Ints order = build.node.get_ints("perm");
  return one_output([=](const Args& args) {
    if (!order.empty()) return args[0].permute(order);
    Ints reversed;
    for (std::int64_t d = args[0].dim(); d-- > 0;) reversed.push_back(d);
    return args[0].permute(reversed);
  });
}

Kernel squeeze(const Build& build) {
  const Integers axes(build, "axes", 1);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    if (!axes.present()) return x.squeeze();
    Ints list = axes.read(args), shape;
    for (std::int64_t& axis : list) axis = axis_in(axis, x.dim());
    for (std::int64_t d = 0; d < x.dim(); ++d) {
      if (std::find(list.begin(), list.end(), d) == list.end()) {
        shape.push_back(x.size(d));
      } else {
        NNQ_CHECK(x.size(d) == 1, "only dimensions of size 1 can be squeezed");
      }
    }
    return x.reshape(shape);
  });
}

Kernel unsqueeze(const Build& build) {
  const Integers axes(build, "axes", 1);
  return one_output([=](const Args& args) {
    Ints list = axes.read(args);
    const std::int64_t rank = args[0].dim() + static_cast<std::int64_t>(list.size());
    for (std::int64_t& axis : list) axis = axis_in(axis, rank);
    std::sort(list.begin(), list.end());
    at::Tensor x = args[0];
    for (const std::int64_t axis : list) x = x.unsqueeze(axis);
    return x;
  });
}

Kernel expand(const Build& build) {
  const Integers shape(build, nullptr, 1);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    Ints target = shape.read(args);
    if (static_cast<std::int64_t>(target.size()) < x.dim())
      target.insert(target.begin(), static_cast<std::size_t>(x.dim()) - target.size(), 1);
    const std::size_t shift = target.size() - static_cast<std::size_t>(x.dim());
    for (std::size_t d = shift; d < target.size(); ++d)
      if (target[d] == 1) target[d] = x.size(static_cast<std::int64_t>(d - shift));
    return x.expand(target);
  });
}

Kernel tile(const Build& build) {
  const Integers repeats(build, nullptr, 1);
  return one_output([=](const Args& args) { return args[0].repeat(repeats.read(args)); });
}

Kernel concat(const Build& build) {
  const std::int64_t axis = build.node.get_int("axis", 1);
  return one_output([=](const Args& args) {
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < args.inputs(); ++i) parts.push_back(args[i]);
    return at::cat(parts, axis);
  });
}

Kernel split(const Build& build) {
  const Integers sizes(build, "split", 1);
  const std::int64_t axis = build.node.get_int("axis", 0);
  return [=](const Args& args) {
    const at::Tensor& x = args[0];
    const std::int64_t length = x.size(axis_in(axis, x.dim())), parts = static_cast<std::int64_t>(args.outputs());
    Ints list;
    if (sizes.present()) {
      list = sizes.read(args);
    } else {
      const std::int64_t each = (length + parts - 1) / parts;
      for (std::int64_t i = 0; i < parts; ++i) list.push_back(std::clamp<std::int64_t>(length - i * each, 0, each));
    }
    NNQ_CHECK(list.size() == args.outputs(), "Split has as many outputs as sizes");
    const std::vector<at::Tensor> pieces = at::split_with_sizes(x, list, axis);
    for (std::size_t i = 0; i < pieces.size(); ++i) args.set(i, pieces[i]);
  };
}

at::Tensor slice_axis(const at::Tensor& x, std::int64_t axis, std::int64_t start, std::int64_t end, std::int64_t step) {
  NNQ_CHECK(step != 0, "a slice cannot have step 0");
  const std::int64_t length = x.size(axis);
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
  const auto clip = [&](std::int64_t v, std::int64_t least) {
    return std::clamp(v < 0 ? std::max(v + length, least) : v, least, high);
  };
  const std::int64_t first = clip(start, step > 0 ? 0 : 0), last = end < -length ? low : clip(end, low);
  if (step > 0) return x.slice(axis, first, std::max(first, last), step);
  if (first <= last || length == 0) return x.slice(axis, 0, 0, 1);
  return x.slice(axis, last + 1, first + 1, 1).flip({axis}).slice(axis, 0, first - last, -step);
}

Kernel slice(const Build& build) {
  const Integers starts(build, "starts", 1), ends(build, "ends", 2), axes(build, "axes", 3), steps(build, "steps", 4);
  return one_output([=](const Args& args) {
    at::Tensor x = args[0];
    const Ints first = starts.read(args), last = ends.read(args);
    const Ints which = axes.present() ? axes.read(args) : Ints{}, by = steps.present() ? steps.read(args) : Ints{};
    NNQ_CHECK(first.size() == last.size() && (which.empty() || which.size() == first.size()) &&
                  (by.empty() || by.size() == first.size()),
              "starts, ends, axes and steps have different lengths");
    for (std::size_t i = 0; i < first.size(); ++i) {
      const std::int64_t axis = axis_in(which.empty() ? static_cast<std::int64_t>(i) : which[i], x.dim());
      x = slice_axis(x, axis, first[i], last[i], by.empty() ? 1 : by[i]);
    }
    return x;
  });
}

Kernel gather(const Build& build) {
  const std::int64_t axis = build.node.get_int("axis", 0);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const std::int64_t along = axis_in(axis, x.dim()), length = x.size(along);
    at::Tensor index = args[1].to(at::kLong);
    index = at::where(index < 0, index + length, index);
    if (x.dim() == 2 && along == 0 && at::isFloatingType(x.scalar_type())) {
      NNQ_CHECK(
          index.numel() == 0 || (index.min().item<std::int64_t>() >= 0 && index.max().item<std::int64_t>() < length),
          "an index is outside the " + std::to_string(length) + " rows of the table");
      return at::embedding(x, index);
    }
    Ints shape = x.sizes().vec();
    shape.erase(shape.begin() + along);
    shape.insert(shape.begin() + along, index.sizes().begin(), index.sizes().end());
    return at::index_select(x, along, index.reshape({-1})).reshape(shape);
  });
}

Kernel shape_of(const Build& build) {
  const std::int64_t start = build.node.get_int("start", 0), end = build.node.get_int("end", INT64_MAX);
  return one_output([=](const Args& args) {
    const std::int64_t rank = args[0].dim();
    const auto clip = [&](std::int64_t v) { return std::clamp<std::int64_t>(v < 0 ? v + rank : v, 0, rank); };
    const std::int64_t first = clip(start), last = std::max(first, clip(end));
    at::Tensor result = at::empty({last - first}, at::kLong);
    for (std::int64_t d = first; d < last; ++d) result.data_ptr<std::int64_t>()[d - first] = args[0].size(d);
    return result;
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(shape) {
  add("Reshape", reshape, "");
  add("Flatten", flatten, "");
  add("Transpose", transpose, "");
  add("Squeeze", squeeze, "");
  add("Unsqueeze", unsqueeze, "");
  add("Expand", expand, "");
  add("Tile", tile, "");
  add("Concat", concat, "");
  add("Split", split, "");
  add("Slice", slice, "");
  add("Gather", gather, "");
  add("Shape", shape_of, "");
}
